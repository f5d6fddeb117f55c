"""Offers of real stacks are understood, and answered with one transport, Opus, data channels and relay addresses."""

import dataclasses

import pytest
from aiortc import sdp as aiortc_sdp

from fastrelay.transceiver.negotiation import (
    Direction,
    Offer,
    Role,
    SdpError,
    build_answer,
    build_fragment,
    choose_role,
    read_fragment,
    read_offer,
)
from fastrelay.transceiver.offer import UNLIMITED_MESSAGE_BYTES, Setup
from fastrelay.wire.sdp import Description, parse_description
from tests import offers
from tests.offers import after, replaced, without
from tests.unit.negotiated import FINGERPRINT, IPV4, IPV6, PASSWORD, UFRAG, answering

CHROME = offers.load("chrome156")
FIREFOX = offers.load("firefox153esr")
VIDEO = (
    "m=video 9 UDP/TLS/RTP/SAVPF 96 97",
    "c=IN IP4 0.0.0.0",
    "a=mid:v",
    "a=ice-ufrag:v+D7",
    "a=sendrecv",
    "a=rtcp-mux",
    "a=rtpmap:96 VP8/90000",
)


def answered(text: str, *, preferred: Role = "passive") -> tuple[Offer, str]:
    offer = read_offer(text)
    return offer, build_answer(offer, answering(role=choose_role(offer.setup, preferred)))


def section_lines(answer: str, index: int) -> list[str]:
    sections = answer.split("\r\nm=")
    return f"m={sections[index + 1]}".split("\r\n")


def values(description: Description, name: str) -> list[str]:
    return [each.value for level in description.levels for each in level.all(name)]


@pytest.mark.parametrize(
    ("name", "payload_type", "mids", "ufrag", "setup", "message_bytes"),
    [
        ("chrome156", 111, ("0", "1"), "v+D7", "actpass", 262_144),
        ("firefox153esr", 109, ("0", "1"), "5dfc7dff", "actpass", 1_073_741_823),
        ("pion3.1.56", 111, ("0", "1"), "JJSQQpSkxWnEDUZL", "actpass", 65_536),
        ("libdatachannel-ndc0.33", 111, ("audio", "0"), "GoT3", "actpass", 262_144),
        ("wrtc0.10", 111, ("0", "1"), "ItsP", "actpass", 262_144),
        ("werift0.24", 111, ("0", "1"), "94d6", "actpass", 65_536),
        ("gstreamer1.22", 111, ("audio0", "application1"), "mM1E6vo1OQScmBZIPoIVbeO566X/pR1K", "actpass", 65_536),
        ("ffmpeg8-whip", 111, ("0",), "4f0d4c04", "active", None),
    ],
)
def test_offer_of_each_stack_is_understood(
    name: str, payload_type: int, mids: tuple[str, ...], ufrag: str, setup: Setup, message_bytes: int | None
) -> None:
    offer = read_offer(offers.load(name))
    assert offer.audio.payload_type == payload_type
    assert offer.mids == mids
    assert offer.bundle == mids
    assert offer.ice_ufrag == ufrag
    assert offer.setup == setup
    assert (offer.data.max_message_size if offer.data else None) == message_bytes
    assert [algorithm for algorithm, _ in offer.fingerprints] == ["sha-256"]
    assert f"{offer.fingerprints[0][0]} {offer.fingerprints[0][1]}" in offers.load(name)
    assert offer.rejected == ()


@pytest.mark.parametrize("name", offers.NAMES)
def test_answer_is_read_by_another_stack(name: str) -> None:
    offer, answer = answered(offers.load(name))
    theirs = aiortc_sdp.SessionDescription.parse(answer)
    assert [section.kind for section in theirs.media] == ["audio", "application"][: len(offer.mids)]
    assert [section.rtp.muxId for section in theirs.media] == list(offer.mids)
    assert theirs.group[0].items == list(offer.mids)
    audio = theirs.media[0]
    assert [(codec.payloadType, codec.mimeType) for codec in audio.rtp.codecs] == [
        (offer.audio.payload_type, "audio/opus")
    ]
    for section in theirs.media:
        assert section.ice is not None
        assert section.dtls is not None
        assert section.ice.iceLite
        assert section.ice.usernameFragment == UFRAG
        assert section.ice.password == PASSWORD
        assert section.ice_candidates_complete
        assert [(each.ip, each.port, each.type) for each in section.ice_candidates] == [
            (*IPV4, "host"),
            (*IPV6, "host"),
        ]
        assert [(each.algorithm, each.value) for each in section.dtls.fingerprints] == [("sha-256", FINGERPRINT)]


def test_answer_begins_with_the_session_and_has_candidates_of_relays_alone() -> None:
    _, answer = answered(CHROME)
    assert answer.startswith(
        f"v=0\r\no=- {0xF8F9FAFBFCFDFEFF >> 1} 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=ice-lite\r\n"
    )
    assert answer.endswith("\r\n")
    candidates = [line for line in answer.split("\r\n") if line.startswith("a=candidate:")]
    assert candidates[:2] == [
        f"a=candidate:1 1 udp 2130706431 192.0.2.7 3478 typ host generation 0 ufrag {UFRAG}",
        f"a=candidate:2 1 udp 2130706175 2001:db8::7 3479 typ host generation 0 ufrag {UFRAG}",
    ]
    assert candidates[2:] == candidates[:2]
    assert "192.0.2.2" not in answer
    assert "fd00" not in answer


def test_default_address_is_the_first_relay_in_its_family() -> None:
    offer = read_offer(CHROME)
    assert section_lines(build_answer(offer, answering(IPV6, IPV4)), 0)[:2] == [
        "m=audio 3479 UDP/TLS/RTP/SAVPF 111",
        "c=IN IP6 2001:db8::7",
    ]
    assert section_lines(build_answer(offer, answering(IPV4)), 0)[:2] == [
        "m=audio 3478 UDP/TLS/RTP/SAVPF 111",
        "c=IN IP4 192.0.2.7",
    ]


@pytest.mark.parametrize(
    ("offered", "preferred", "role"),
    [
        ("actpass", "passive", "passive"),
        ("actpass", "active", "active"),
        ("active", "active", "passive"),
        ("passive", "passive", "active"),
    ],
)
def test_client_decides_who_begins_dtls_where_it_says_so(offered: Setup, preferred: Role, role: Role) -> None:
    _, answer = answered(replaced(CHROME, "a=setup:actpass", f"a=setup:{offered}"), preferred=preferred)
    assert set(values(parse_description(answer), "setup")) == {role}


def test_answer_with_a_role_the_client_excludes_is_our_mistake() -> None:
    offer = read_offer(offers.load("ffmpeg8-whip"))
    with pytest.raises(ValueError, match="leaves no active"):
        build_answer(offer, answering(role="active"))


@pytest.mark.parametrize(
    ("offered", "answer", "is_sending"),
    [
        ("sendrecv", "sendrecv", True),
        ("sendonly", "recvonly", False),
        ("recvonly", "sendonly", True),
        ("inactive", "inactive", False),
    ],
)
def test_direction_is_mirrored_and_a_stream_named_only_where_one_is_sent(
    offered: str, answer: str, is_sending: bool
) -> None:
    offer, text = answered(replaced(CHROME, "a=sendrecv", f"a={offered}"))
    assert offer.audio.direction == Direction(offered)
    assert offer.audio.direction.is_receiving is is_sending
    lines = section_lines(text, 0)
    assert f"a={answer}" in lines
    assert (f"a=ssrc:{0xFEDCBA98} cname:c4lL" in lines) is is_sending
    assert ("a=msid:fastrelay audio" in lines) is is_sending


def test_direction_may_stand_at_the_session_and_is_both_ways_otherwise() -> None:
    audio_only = offers.load("ffmpeg8-whip")
    bare = without(audio_only, "a=sendonly")
    assert read_offer(bare).audio.direction == Direction.SENDRECV
    assert read_offer(after(bare, "t=0", "a=recvonly")).audio.direction == Direction.RECVONLY
    assert read_offer(after(audio_only, "t=0", "a=recvonly")).audio.direction == Direction.SENDONLY


def test_two_directions_are_refused() -> None:
    with pytest.raises(SdpError, match="says both a=sendrecv and a=recvonly"):
        read_offer(after(CHROME, "a=sendrecv", "a=recvonly"))


def test_video_is_rejected_with_port_zero_and_keeps_ice_and_dtls() -> None:
    text = offers.load("chrome156").rstrip() + "\r\n" + "\r\n".join(VIDEO) + "\r\n"
    offer, answer = answered(replaced(text, "BUNDLE 0 1", "BUNDLE 0 1 v"))
    assert [each.kind for each in offer.rejected] == ["video"]
    assert "a=group:BUNDLE 0 1\r\n" in answer
    assert section_lines(answer, 2)[:-1] == [
        "m=video 0 UDP/TLS/RTP/SAVPF 96",
        "c=IN IP4 0.0.0.0",
        "a=mid:v",
        f"a=ice-ufrag:{UFRAG}",
        f"a=ice-pwd:{PASSWORD}",
        f"a=fingerprint:sha-256 {FINGERPRINT}",
        "a=setup:passive",
        "a=inactive",
    ]


def test_transport_comes_from_the_first_bundled_section_that_is_accepted() -> None:
    video = "\r\n".join(VIDEO).replace("v+D7", "othr")
    text = replaced(CHROME, "m=audio", f"{video}\r\nm=audio", 1)
    offer, answer = answered(replaced(text, "BUNDLE 0 1", "BUNDLE v 0 1"))
    assert offer.mids == ("v", "0", "1")
    assert offer.ice_ufrag == "v+D7"
    assert "a=group:BUNDLE 0 1\r\n" in answer
    assert section_lines(answer, 0)[0] == "m=video 0 UDP/TLS/RTP/SAVPF 96"


def test_sections_keep_their_order_when_data_comes_first() -> None:
    head, audio, data = CHROME.split("m=")
    offer, answer = answered(replaced(f"{head}m={data}m={audio}", "BUNDLE 0 1", "BUNDLE 1 0"))
    assert offer.bundle == ("1", "0")
    assert "a=group:BUNDLE 1 0\r\n" in answer
    assert section_lines(answer, 0)[0].startswith("m=application")
    assert section_lines(answer, 1)[0].startswith("m=audio")


def test_second_audio_section_is_rejected() -> None:
    audio = "m=" + CHROME.split("m=")[1]
    text = replaced(CHROME, "BUNDLE 0 1", "BUNDLE 0 1 2") + replaced(audio, "a=mid:0", "a=mid:2")
    offer, answer = answered(text)
    assert offer.audio.mid == "0"
    assert section_lines(answer, 2)[0] == "m=audio 0 UDP/TLS/RTP/SAVPF 111"


def test_audio_section_without_opus_gives_way_to_one_that_has_it() -> None:
    first = "m=audio 9 UDP/TLS/RTP/SAVPF 0\r\na=mid:a\r\na=rtpmap:0 PCMU/8000\r\n"
    offer, _ = answered(replaced(replaced(CHROME, "m=audio", f"{first}m=audio", 1), "BUNDLE 0 1", "BUNDLE a 0 1"))
    assert offer.audio.mid == "0"
    assert offer.rejected[0].mid == "a"


def test_data_outside_the_bundle_is_rejected_because_there_is_one_transport() -> None:
    offer, answer = answered(replaced(CHROME, "BUNDLE 0 1", "BUNDLE 0"))
    assert offer.data is None
    assert section_lines(answer, 1)[0] == "m=application 0 UDP/DTLS/SCTP webrtc-datachannel"


def test_offer_of_one_section_needs_neither_bundle_nor_mid() -> None:
    text = without(without(offers.load("ffmpeg8-whip"), "a=group"), "a=mid")
    offer, answer = answered(text)
    assert offer.bundle == ()
    assert "a=group" not in answer
    assert "a=mid" not in answer


def test_no_candidate_is_needed() -> None:
    offer, _ = answered(without(CHROME, "a=candidate"))
    assert offer == read_offer(CHROME)


def test_candidates_are_not_read() -> None:
    offer, answer = answered(after(CHROME, "a=mid:0", "a=candidate:what is this", "a=candidate:198.51.100.1"))
    assert offer == read_offer(CHROME)
    assert "198.51.100.1" not in answer


def test_ice_and_fingerprint_may_stand_at_the_session() -> None:
    text = CHROME
    moved = [
        line for line in text.splitlines()[:24] if line.startswith(("a=ice-ufrag", "a=ice-pwd", "a=finger", "a=setup"))
    ]
    assert len(moved) == 4
    for line in moved:
        text = without(text, line)
    offer = read_offer(after(text, "t=0", *moved))
    assert offer == read_offer(CHROME)


def test_section_comes_before_the_session() -> None:
    offer = read_offer(after(CHROME, "t=0", "a=ice-ufrag:session", f"a=fingerprint:sha-256 {FINGERPRINT}"))
    assert offer.ice_ufrag == "v+D7"
    assert offer.fingerprints == read_offer(CHROME).fingerprints


def test_first_opus_of_the_section_is_taken_whatever_its_case() -> None:
    text = replaced(CHROME, "a=rtpmap:63 red/48000/2", "a=rtpmap:63 OPUS/48000/2")
    assert read_offer(text).audio.payload_type == 111
    assert read_offer(replaced(text, "SAVPF 111 63", "SAVPF 63 111")).audio.payload_type == 63
    assert read_offer(replaced(text, "SAVPF 111 63", "SAVPF 63")).audio.payload_type == 63


def test_telephone_events_and_other_codecs_are_left_out_of_the_answer() -> None:
    _, answer = answered(CHROME)
    assert "telephone-event" not in answer
    assert [line for line in answer.split("\r\n") if "rtpmap" in line] == ["a=rtpmap:111 opus/48000/2"]


def test_wishes_for_opus_are_read_from_its_own_parameters() -> None:
    firefox = read_offer(FIREFOX).audio.opus
    assert firefox.is_stereo
    assert firefox.uses_inband_fec
    assert not firefox.uses_dtx
    chrome = read_offer(
        replaced(
            CHROME, "a=fmtp:111 minptime=10;useinbandfec=1", "a=fmtp:111 usedtx=1; maxaveragebitrate=20000;cbr=1;x"
        )
    ).audio.opus
    assert (chrome.uses_dtx, chrome.is_constant_bitrate, chrome.average_bitrate_max) == (True, True, 20_000)
    assert (chrome.is_stereo, chrome.uses_inband_fec, chrome.min_ptime_ms) == (False, False, 3)
    assert read_offer(CHROME).audio.opus.min_ptime_ms == 10


@pytest.mark.parametrize("feedback", ["111 nack", "* nack"])
def test_nack_is_agreed_on_where_it_is_offered(feedback: str) -> None:
    offer, answer = answered(after(CHROME, "a=rtcp-mux", f"a=rtcp-fb:{feedback}"))
    assert offer.audio.has_nack
    assert "a=rtcp-fb:111 nack\r\n" in answer
    offer, answer = answered(after(CHROME, "a=rtcp-mux", "a=rtcp-fb:9 nack", "a=rtcp-fb:111 nack pli"))
    assert not offer.audio.has_nack
    assert "rtcp-fb" not in answer


def test_message_size_of_zero_is_any_size() -> None:
    data = read_offer(replaced(CHROME, "a=max-message-size:262144", "a=max-message-size:0")).data
    assert data is not None
    assert data.max_message_size == UNLIMITED_MESSAGE_BYTES


def test_several_fingerprints_are_all_kept_and_unknown_hashes_passed_over() -> None:
    sha512 = ":".join(["CD"] * 64)
    text = after(CHROME, "a=fingerprint", f"a=fingerprint:SHA-512 {sha512.lower()}", "a=fingerprint:md5 AA:BB")
    assert read_offer(text).fingerprints == (*read_offer(CHROME).fingerprints, ("sha-512", sha512))


def test_representation_shows_no_password() -> None:
    offer = read_offer(CHROME)
    assert offer.ice_pwd not in repr(offer)
    assert PASSWORD not in repr(answering())
    assert PASSWORD not in repr(read_fragment(build_fragment(answering())))


FIRST = "a=fingerprint:sha-256 83:91"


@pytest.mark.parametrize(
    ("text", "line", "problem"),
    [
        pytest.param("v=0\r\no=- 1 2 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\n", None, "no audio section", id="no section"),
        pytest.param(replaced(CHROME, "opus/48000", "opas/48000"), 8, "no audio section offers Opus", id="no Opus"),
        pytest.param(replaced(CHROME, "opus/48000/2", "opus/48000"), 8, "offers Opus", id="Opus of one channel"),
        pytest.param(replaced(CHROME, "m=audio 55688", "m=audio 0"), 8, "offers Opus", id="audio of port 0"),
        pytest.param(replaced(CHROME, "UDP/TLS/RTP/SAVPF", "RTP/AVP"), 8, "over UDP/TLS", id="RTP in the clear"),
        pytest.param(without(CHROME, "a=rtcp-mux"), 8, "lacks a=rtcp-mux", id="no rtcp-mux"),
        pytest.param(without(CHROME, "a=ice-ufrag"), 8, "has a=ice-ufrag", id="no ufrag"),
        pytest.param(without(CHROME, "a=ice-pwd"), 8, "has a=ice-pwd", id="no password"),
        pytest.param(without(CHROME, "a=fingerprint"), 8, "has a=fingerprint", id="no fingerprint"),
        pytest.param(without(CHROME, "a=setup"), 8, "has a=setup", id="no setup"),
        pytest.param(replaced(CHROME, "a=setup:actpass", "a=setup:holdconn"), 19, "actpass, active", id="holdconn"),
        pytest.param(replaced(CHROME, "a=ice-ufrag:v+D7", "a=ice-ufrag:v+D"), 15, "4 to 256", id="short ufrag"),
        pytest.param(replaced(CHROME, "a=ice-ufrag:v+D7", "a=ice-ufrag:v_D7"), 15, "letters, digits", id="odd ufrag"),
        pytest.param(replaced(CHROME, "wUud4G", "wUu"), 16, "22 to 256", id="short password"),
        pytest.param(replaced(CHROME, FIRST, "a=fingerprint:sha-256 391"), 18, "of the form", id="odd digest"),
        pytest.param(replaced(CHROME, FIRST, "a=fingerprint:sha-256 83"), 18, "32 bytes", id="short digest"),
        pytest.param(replaced(CHROME, FIRST, "a=fingerprint:sha-1 83:91"), 18, "accepted here", id="SHA-1 alone"),
        pytest.param(
            after(CHROME, "a=fingerprint", *[f"a=fingerprint:sha-256 {FINGERPRINT}"] * 8), 26, "8 finger", id="many"
        ),
        pytest.param(replaced(CHROME, "a=mid:1", "a=mid:0"), 43, "two sections have the mid 0", id="mid twice"),
        pytest.param(replaced(CHROME, "a=mid:0", "a=mid:0 1"), 20, "a mid is a token", id="mid with a space"),
        pytest.param(replaced(CHROME, "BUNDLE 0 1", "BUNDLE 0 7"), 5, "no section has that mid", id="stranger bundled"),
        pytest.param(replaced(CHROME, "BUNDLE 0 1", "BUNDLE 0 0"), 5, "twice", id="bundled twice"),
        pytest.param(replaced(CHROME, "BUNDLE 0 1", "BUNDLE 0  1"), 5, "names nothing", id="bundle of nothing"),
        pytest.param(replaced(CHROME, "rtpmap:63 red", "rtpmap:663 red"), 33, "0 to 127", id="payload type beyond"),
        pytest.param(replaced(CHROME, "rtpmap:63 red/", "rtpmap:63/"), 33, "not of the form", id="odd rtpmap"),
        pytest.param(replaced(CHROME, "minptime=10", "minptime=ten"), 32, "minptime is not a num", id="odd parameter"),
        pytest.param(replaced(CHROME, "sctp-port:5000", "sctp-port:65536"), 51, "up to 65535", id="SCTP port beyond"),
        pytest.param(replaced(CHROME, "message-size:26", "message-size:x"), 52, "not a number", id="odd message size"),
        pytest.param(after(CHROME, "t=0", "a=ice-lite"), 5, "two ice-lite ends", id="ice-lite client"),
        pytest.param(after(CHROME, "a=mid:0", "a=ice-ufrag:another"), 21, "twice, first in line 15", id="two ufrags"),
        pytest.param(CHROME + "a=x\r\n" * 20_000, None, "longer than 65536 bytes", id="too long"),
    ],
)
def test_offer_that_cannot_be_answered_is_refused_with_the_line(text: str, line: int | None, problem: str) -> None:
    with pytest.raises(SdpError, match=problem) as caught:
        read_offer(text)
    assert (caught.value.line.number if caught.value.line else None) == line
    if line is not None:
        assert str(caught.value).startswith(f"line {line} (")


def test_fragment_of_a_client_is_read() -> None:
    text = (
        "a=ice-options:trickle\r\na=group:BUNDLE 0 1\r\nm=audio 9 RTP/AVP 0\r\na=mid:0\r\na=ice-ufrag:EsAw\r\n"
        "a=ice-pwd:P2uYro0UCOQ4zxjKXaWCBui1\r\na=candidate:1 1 udp 1 198.51.100.1 9 typ host\r\na=end-of-candidates\r\n"
    )
    fragment = read_fragment(text)
    assert (fragment.ufrag, fragment.password) == ("EsAw", "P2uYro0UCOQ4zxjKXaWCBui1")
    assert fragment.mids == ("0",)
    assert fragment.candidates == ("1 1 udp 1 198.51.100.1 9 typ host",)
    assert fragment.is_complete


def test_fragment_of_candidates_alone_names_no_credentials() -> None:
    fragment = read_fragment("m=audio 9 RTP/AVP 0\r\na=mid:0\r\na=candidate:1 1 udp 1 198.51.100.1 9 typ host\r\n")
    assert (fragment.ufrag, fragment.password, fragment.is_complete) == (None, None, False)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        pytest.param("a=ice-ufrag:EsAw\r\n", "come together", id="no password"),
        pytest.param("a=ice-pwd:P2uYro0UCOQ4zxjKXaWCBui1\r\n", "come together", id="no ufrag"),
        pytest.param("a=ice-ufrag:E\r\na=ice-pwd:P2uYro0UCOQ4zxjKXaWCBui1\r\n", "4 to 256", id="short ufrag"),
        pytest.param("a=ice-ufrag:EsAw\r\nm=audio 9 RTP/AVP 0\r\na=ice-ufrag:EsAx\r\n", "one transport", id="two"),
        pytest.param("a=candidate:1\r\n" * 65, "more than 64 candidates", id="too many candidates"),
        pytest.param("v=0\r\n", "a= and m= lines alone", id="a whole description"),
        pytest.param("m=audio 9 RTP/AVP 0\r\na=mid:0 0\r\n", "a mid is a token", id="odd mid"),
    ],
)
def test_fragment_that_means_nothing_is_refused(text: str, problem: str) -> None:
    with pytest.raises(SdpError, match=problem):
        read_fragment(text)


def test_our_fragment_has_everything_for_a_restart() -> None:
    text = build_fragment(answering(IPV4), ("0", "1"))
    assert text.startswith("a=ice-lite\r\na=ice-options:trickle\r\na=group:BUNDLE 0 1\r\nm=audio 9 ")
    fragment = read_fragment(text)
    assert (fragment.ufrag, fragment.password, fragment.mids, fragment.is_complete) == (UFRAG, PASSWORD, ("0",), True)
    assert fragment.candidates == (f"1 1 udp 2130706431 192.0.2.7 3478 typ host generation 0 ufrag {UFRAG}",)


def test_answer_cannot_be_made_of_a_line_that_would_be_two() -> None:
    offer = read_offer(CHROME)
    with pytest.raises(ValueError, match="not a line of SDP"):
        build_answer(offer, dataclasses.replace(answering(), cname="x\r\na=inactive"))
