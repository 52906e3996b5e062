"""What tshark says of a capture, in the columns of `--print csv`. The rules are those of PROTOCOL.md,
appendix A: the outermost IP header and the transport directly behind it, never one further in."""
import ipaddress
import re
import subprocess
from dataclasses import dataclass

COLUMNS = ("time_us", "src", "dst", "protocol", "src_port", "dst_port", "icmp_type", "icmp_code", "ttl", "ip_length",
           "ip_id", "ip_flags", "tcp_flags", "tcp_seq", "tcp_ack", "tcp_window", "tcp_header_length", "tcp_mss",
           "payload_length")
# Traits that parsing sets and tshark can confirm.
TRAITS = {"fragment", "reserved_flag", "ip_options", "extension_headers", "bad_checksum"}

# Header field that says what comes next, and the one with the header's length in bytes.
EXTENSIONS = {"ipv6.hopopts": ("ipv6.hopopts.nxt", "ipv6.hopopts.len_oct"),
              "ipv6.routing": ("ipv6.routing.nxt", "ipv6.routing.len_oct"),
              "ipv6.dstopts": ("ipv6.dstopts.nxt", "ipv6.dstopts.len_oct"),
              "ipv6.fraghdr": ("ipv6.fraghdr.nxt", None),
              "ah": ("ah.next_header", "ah.length")}
EXTENSION_NUMBERS = {"0", "43", "44", "51", "60"}
# Layer by name -> its port fields and the size of its fixed header.
PORTS = {"tcp": "tcp", "udp": "udp", "udplite": "udp", "sctp": "sctp", "dccp": "dccp"}
PROTOCOL_LAYER = {"1": "icmp", "6": "tcp", "17": "udp", "33": "dccp", "58": "icmpv6", "132": "sctp", "136": "udplite"}
HEADER = {"icmp": 8, "icmpv6": 8, "sctp": 12}

FIELDS = ["frame.protocols", "frame.time_epoch", "ip.hdr_len", "ip.src", "ip.dst", "ip.cur_rt", "ip.proto", "ip.ttl",
          "ip.len", "ip.id", "ip.flags", "ip.frag_offset", "ip.checksum.status", "ipv6.src", "ipv6.dst", "ipv6.nxt",
          "ipv6.hlim", "ipv6.plen", "ipv6.fraghdr.offset", "ipv6.fraghdr.more", "ipv6.routing.segleft", "ipv6.opt.jumbo",
          "tcp.flags", "tcp.seq_raw", "tcp.ack_raw", "tcp.window_size_value", "tcp.hdr_len", "tcp.options.mss_val",
          "tcp.len", "tcp.checksum.status", "udp.length", "udp.checksum.status", "icmp.type", "icmp.code",
          "icmp.checksum.status", "icmpv6.type", "icmpv6.code", "icmpv6.checksum.status", "dccp.data_offset",
          "_ws.malformed", "_ws.short", "_ws.expert.message"]
FIELDS += [f"{prefix}.{end}" for prefix in ("tcp", "udp", "sctp", "dccp") for end in ("srcport", "dstport")]
FIELDS += [name for names in EXTENSIONS.values() for name in names if name]

PREFERENCES = ("ip.defragment:false", "ipv6.defragment:false", "tcp.desegment_tcp_streams:false",
               "tcp.relative_sequence_numbers:false", "tcp.analyze_sequence_numbers:false", "ip.check_checksum:true",
               "tcp.check_checksum:true", "udp.check_checksum:true")
MORE = "\x1f"  # between occurrences


@dataclass
class Expected:
    """@param row  values by column, None where tshark has no whole IP header
    @param either  the header may or may not be whole: tshark does not tell
    @param unverifiable  a source route: the checksum covers another destination than the header's
    @param open_end  tshark gave up inside an extension header's options, which the sensor skips unread"""
    row: dict | None
    traits: set
    either: bool = False
    layers: str = ""
    unverifiable: bool = False
    open_end: bool = False


def run(capture) -> list[Expected]:
    argv = ["tshark", "-n", "-r", str(capture), "-T", "fields", "-E", "occurrence=a", "-E", f"aggregator={MORE}",
            "-E", "separator=/t"]
    for preference in PREFERENCES:
        argv += ["-o", preference]
    for field in FIELDS:
        argv += ["-e", field]
    out = subprocess.run(argv, capture_output=True).stdout.decode("utf-8", "replace")
    return [expected(dict(zip(FIELDS, line.split("\t")))) for line in out.split("\n")[:-1]]


def number(text: str) -> int:
    return int(text, 0)


def time_us(epoch: str) -> str:
    """tshark prints the nanoseconds as they are in the file, also where they are a second or more; nothing
    where a packet has no time."""
    if not epoch:
        return ""
    seconds, _, nanoseconds = epoch.partition(".")
    return str(int(seconds) * 1000000 + int(nanoseconds) // 1000)


def expected(packet: dict) -> Expected:
    every = {name: value.split(MORE) if value else [] for name, value in packet.items()}
    first = {name: values[0] if values else "" for name, values in every.items()}
    layers = first["frame.protocols"].split(":")
    at = next((i for i, layer in enumerate(layers) if layer in ("ip", "ipv6")), None)
    if at is None:
        return Expected(None, set(), layers=first["frame.protocols"])
    cut = bool(first["_ws.short"] or first["_ws.malformed"])
    row = dict.fromkeys(COLUMNS, "")
    row["time_us"] = time_us(first["frame.time_epoch"])
    traits = set()
    unverifiable = False
    cut_inside = False
    exceeds = re.search(r"exceeds (?:packet|framing) length \((\d+) bytes\)", first["_ws.expert.message"]
                        if len(every["_ws.expert.message"]) == 1 else MORE.join(every["_ws.expert.message"]))

    if layers[at] == "ip" and first["ip.src"]:
        behind = at + 1
        dst = first["ip.cur_rt"] or first["ip.dst"]
        if not dst:
            return Expected(None, set(), layers=first["frame.protocols"])
        unverifiable = bool(first["ip.cur_rt"])
        length, header = number(first["ip.len"]), number(first["ip.hdr_len"])
        payload = (min(length, int(exceeds[1])) if exceeds else length) - header
        row |= {"src": first["ip.src"], "dst": dst, "protocol": first["ip.proto"], "ttl": first["ip.ttl"],
                "ip_length": str(length), "ip_id": str(number(first["ip.id"])),
                "ip_flags": str(number(first["ip.flags"]))}
        later = number(first["ip.frag_offset"]) > 0
        fragment = later or number(first["ip.flags"]) & 1
        if header > 20:
            traits.add("ip_options")
        if number(first["ip.flags"]) & 4:
            traits.add("reserved_flag")
        if first["ip.checksum.status"] == "0":
            traits.add("bad_checksum")
        either = header > 20 and cut and layers[-1] == "ip"
        layer = "" if later else layers[behind] if behind < len(layers) else ""
    elif first["ipv6.src"] and first["ipv6.dst"]:
        # An Ethernet type of IPv4 in front of an IPv6 header shows both layers.
        behind = layers.index("ipv6", at) + 1
        plen = number(first["ipv6.plen"])
        row |= {"src": first["ipv6.src"], "dst": first["ipv6.dst"], "ttl": first["ipv6.hlim"],
                "ip_length": str(plen + 40)}
        if plen == 0 and first["ipv6.opt.jumbo"] and number(first["ipv6.opt.jumbo"]) > 65535:
            plen = number(first["ipv6.opt.jumbo"])
        payload = min(plen, int(exceeds[1])) if exceeds else plen
        nxt = first["ipv6.nxt"]
        seen = dict.fromkeys(EXTENSIONS, 0)
        fragment = later = False
        while nxt in EXTENSION_NUMBERS and behind < len(layers) and layers[behind] in EXTENSIONS:
            name = layers[behind]
            field, size = EXTENSIONS[name]
            i = seen[name]
            seen[name] += 1
            if name != "ipv6.fraghdr":
                traits.add("extension_headers")
            if i >= len(every[field]):
                nxt = "0"  # not shown: the header is not whole
                break
            nxt = every[field][i]
            if name == "ipv6.fraghdr":
                payload -= 8
                later = number(every["ipv6.fraghdr.offset"][i]) > 0
                fragment = fragment or later or number(every["ipv6.fraghdr.more"][i]) > 0
            elif size and i < len(every[size]):
                payload -= (number(every[size][i]) + 2) * 4 if name == "ah" else number(every[size][i])
            if name == "ipv6.routing" and i < len(every["ipv6.routing.segleft"]):
                unverifiable = unverifiable or number(every["ipv6.routing.segleft"][i]) > 0
            behind += 1
            if later:
                break
        else:
            if nxt in EXTENSION_NUMBERS and nxt != "44":
                traits.add("extension_headers")
        if later or nxt not in EXTENSION_NUMBERS:
            row["protocol"] = nxt
        either = False
        layer = "" if later else layers[behind] if behind < len(layers) else ""
        cut_inside = cut and not layer and layers[-1] in EXTENSIONS
    else:
        return Expected(None, set(), layers=first["frame.protocols"])

    if fragment:
        traits.add("fragment")
    result = Expected(row, traits, either, first["frame.protocols"], unverifiable,
                      cut_inside and bool(first["_ws.malformed"]) and bool(row["protocol"]))
    if not row["protocol"] or layer != PROTOCOL_LAYER.get(row["protocol"]):
        if row["protocol"] and row["protocol"] not in PROTOCOL_LAYER and not (fragment or cut_inside):
            row["payload_length"] = str(payload) if payload >= 0 else ""
        return result

    if layer in PORTS:
        row |= {"src_port": first[f"{PORTS[layer]}.srcport"], "dst_port": first[f"{PORTS[layer]}.dstport"]}
    if layer == "tcp":
        row |= {"tcp_seq": first["tcp.seq_raw"], "tcp_ack": first["tcp.ack_raw"],
                "tcp_window": first["tcp.window_size_value"], "tcp_header_length": first["tcp.hdr_len"],
                "tcp_mss": first["tcp.options.mss_val"], "payload_length": first["tcp.len"],
                "tcp_flags": str(number(first["tcp.flags"]) & 0xff) if first["tcp.flags"] else ""}
    elif layer in ("udp", "udplite"):
        if first["udp.length"]:
            length = number(first["udp.length"])
            if length == 0 and layers[at] == "ipv6":
                length = payload
            if length >= 8 and not (layer == "udplite" and fragment):
                row["payload_length"] = str(length - 8)
    elif layer in ("icmp", "icmpv6"):
        row |= {"icmp_type": first[f"{layer}.type"], "icmp_code": first[f"{layer}.code"]}
        if row["icmp_code"] and not fragment and payload >= 8:
            row["payload_length"] = str(payload - 8)
    elif layer == "sctp":
        if row["src_port"] and not fragment:
            row["payload_length"] = str(payload - 12)
    elif layer == "dccp" and first["dccp.data_offset"] and not fragment:
        rest = payload - number(first["dccp.data_offset"]) * 4
        row["payload_length"] = str(rest) if rest >= 0 else ""
    status = first.get(f"{'udp' if layer == 'udplite' else layer}.checksum.status")
    if layer != "udplite" and status in ("0", "4"):
        traits.add("bad_checksum")
    return result


def same_address(a: str, b: str) -> bool:
    return a == b or bool(a and b) and ipaddress.ip_address(a) == ipaddress.ip_address(b)
