// Chooses the transceiver of a new client for nginx: the ufrag of its first STUN check begins with address and port,
// as 12 hexadecimal digits. Runs once for each client; later packets of the session do not come here.

const HEADER = 20;
const COOKIE = 0x2112a442;
const USERNAME = 6;
const ROUTE_DIGITS = 12;

function routeOf(packet) {
    if (packet.length < HEADER || packet[0] > 3 || packet.readUInt32BE(4) !== COOKIE) {
        return '';
    }
    let at = HEADER;
    while (at + 4 <= packet.length) {
        const kind = packet.readUInt16BE(at);
        const length = packet.readUInt16BE(at + 2);
        at += 4;
        if (kind === USERNAME) {
            return length < ROUTE_DIGITS ? '' : decode(packet.toString('utf8', at, at + ROUTE_DIGITS));
        }
        at += (length + 3) & ~3;
    }
    return '';
}

function decode(digits) {
    const route = Buffer.from(digits, 'hex');
    if (route.length * 2 !== ROUTE_DIGITS) {
        return '';
    }
    return `${route[0]}.${route[1]}.${route[2]}.${route[3]}:${route.readUInt16BE(4)}`;
}

function choose(s) {
    s.on('upstream', function (packet, flags) {
        const route = routeOf(packet);
        if (!route) {
            s.deny();
            return;
        }
        s.variables.transceiver = route;
        s.off('upstream');
        s.allow();
    });
}

export default { choose };
