"""nginx's stream proxy: plain, to one transceiver, and with its JavaScript module choosing it by the ufrag.

Lives here: its configuration. Must not live here: the script (nginx_route.js).
"""

from bench.load.build import ROOT
from bench.peers.child_peer import ChildPeer
from bench.peers.install import debian
from bench.peers.peer import BUFFER_BYTES, Endpoint, Opening, Route
from bench.peers.running import OUT
from fastrelay.wire.address import format_endpoint

SCRIPTS = ROOT / "bench" / "peers"
# each client takes two connections: itself and the one upstream
CONNECTIONS_BESIDES = 64
# one process, so that SIGSTOP stops all of it: the way of a packet is that of a worker under a master
CONFIGURATION = """\
daemon off;
master_process off;
pid {folder}/{name}.pid;
error_log stderr error;
load_module modules/ngx_stream_module.so;
{load_more}
worker_rlimit_nofile 20000;
events {{
    # else it asks epoll before each packet
    multi_accept on;
    worker_connections {connections};
}}
stream {{
    access_log off;
    {scripts}
    server {{
        listen {listen} udp reuseport rcvbuf={buffer} sndbuf={buffer};
        proxy_timeout 1h;
        {route}
    }}
}}
"""


class Nginx(ChildPeer):
    """Plain: every client goes to the first transceiver."""

    name = "nginx"
    what = "nginx stream: one packet a call, a socket per flow, fixed upstream"
    note = "Without its script module nothing chooses among transceivers: here everyone sends to one transceiver only."
    transceivers_max: int | None = 1
    opening = Opening.PACKET
    load_more = scripts = ""

    def prepare(self) -> str:
        """Installs nginx with its stream module."""
        debian("libnginx-mod-stream")
        return f"nginx {debian('nginx')}"

    def route(self, route: Route) -> str:
        """Where packets go."""
        return f"proxy_pass {format_endpoint(*route.transceiver)};"

    def command(self, listen: Endpoint, route: Route) -> list[str]:
        """Writes the configuration and names it."""
        OUT.mkdir(parents=True, exist_ok=True)
        configuration = OUT / f"{self.name}.conf"
        configuration.write_text(
            CONFIGURATION.format(
                folder=OUT,
                name=self.name,
                load_more=self.load_more,
                scripts=self.scripts,
                connections=2 * route.clients + CONNECTIONS_BESIDES,
                listen=format_endpoint(*listen),
                buffer=BUFFER_BYTES,
                route=self.route(route),
            )
        )
        return ["/usr/sbin/nginx", "-p", "/usr/share/nginx", "-e", "stderr", "-c", str(configuration)]


class NginxScript(Nginx):
    """The JavaScript module reads the first packet of a client; the rest of them pass without it."""

    name = "nginx-js"
    what = "nginx stream with njs, which reads the ufrag of a first packet: one packet a call, a socket per flow"
    note = "It chooses among all transceivers, as fastrelay does."
    transceivers_max = None
    opening = Opening.CHECK
    load_more = "load_module modules/ngx_stream_js_module.so;"
    scripts = f"js_path {SCRIPTS}; js_import route from nginx_route.js; js_var $transceiver;"

    def prepare(self) -> str:
        """Installs the script module as well."""
        return f"{super().prepare()}, njs {debian('libnginx-mod-stream-js')}"

    def route(self, route: Route) -> str:
        """Where the script says."""
        return "js_preread route.choose; proxy_pass $transceiver;"
