package main

import (
	"encoding/binary"
	"hash/crc32"
	"net/netip"
)

// A packet is one of a case.
type packet struct {
	Dir   string     `json:"dir"`
	Iface string     `json:"iface"`
	Out   string     `json:"outIface"`
	Src   netip.Addr `json:"src"`
	Dst   netip.Addr `json:"dst"`
	Proto uint8      `json:"proto"`
	Sport uint16     `json:"sport"`
	Dport uint16     `json:"dport"`
	Type  uint8      `json:"icmpType"`
	Code  uint8      `json:"icmpCode"`
}

const (
	icmp    = 1
	tcp     = 6
	udp     = 17
	icmp6   = 58
	sctp    = 132
	udpLite = 136
)

const (
	ipv4Header = 20
	ipv6Header = 40
	// echoIdentifier is any; an identifier of 0 would do as well.
	echoIdentifier = 7
)

// bytes is the packet from its IP header on. The id is the identification of IPv4 or the flow label of IPv6, by which
// it is known again.
func (p packet) bytes(id int) []byte {
	body := p.body()
	if p.Src.Is4() {
		header := make([]byte, ipv4Header, ipv4Header+len(body))
		header[0] = 0x45
		binary.BigEndian.PutUint16(header[2:], uint16(ipv4Header+len(body)))
		binary.BigEndian.PutUint16(header[4:], uint16(id))
		header[8] = 64
		header[9] = p.Proto
		src, dst := p.Src.As4(), p.Dst.As4()
		copy(header[12:], src[:])
		copy(header[16:], dst[:])
		binary.BigEndian.PutUint16(header[10:], ^sum(0, header))
		return append(header, body...)
	}
	header := make([]byte, ipv6Header, ipv6Header+len(body))
	binary.BigEndian.PutUint32(header, 6<<28|uint32(id))
	binary.BigEndian.PutUint16(header[4:], uint16(len(body)))
	header[6] = p.Proto
	// What neighbour discovery asks for; 255 is as good for everything else.
	header[7] = 255
	src, dst := p.Src.As16(), p.Dst.As16()
	copy(header[8:], src[:])
	copy(header[24:], dst[:])
	return append(header, body...)
}

// body is what follows the IP header: the first packet of a flow, with a checksum that connection tracking accepts.
func (p packet) body() []byte {
	switch p.Proto {
	case tcp:
		b := p.ports(20)
		b[12] = 5 << 4
		b[13] = 0x02 // SYN
		binary.BigEndian.PutUint16(b[14:], 1024)
		binary.BigEndian.PutUint16(b[16:], p.checksum(b))
		return b
	case udp:
		b := p.ports(8)
		binary.BigEndian.PutUint16(b[4:], 8)
		binary.BigEndian.PutUint16(b[6:], p.checksum(b))
		return b
	case udpLite:
		b := p.ports(8)
		// Connection tracking verifies it as if it were that of UDP (torvalds/linux:net/netfilter/nf_conntrack_proto_udp.c
		// udplite_error), so that what arrives with the right one is invalid. What the node sends to itself is not verified.
		protocol := uint8(udpLite)
		if p.Iface == "lo" {
			protocol = udp
		}
		binary.BigEndian.PutUint16(b[6:], p.checksumAs(protocol, b))
		return b
	case sctp:
		b := p.ports(12 + 20)
		b[12] = 1 // INIT
		binary.BigEndian.PutUint16(b[14:], 20)
		binary.BigEndian.PutUint32(b[16:], 1)
		binary.BigEndian.PutUint32(b[20:], 4096)
		binary.BigEndian.PutUint16(b[24:], 1)
		binary.BigEndian.PutUint16(b[26:], 1)
		sum := crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli))
		binary.LittleEndian.PutUint32(b[8:], sum)
		return b
	case icmp, icmp6:
		if (p.Proto == icmp) != p.Src.Is4() {
			break
		}
		b := make([]byte, 8+ipv6Header)
		b[0], b[1] = p.Type, p.Code
		binary.BigEndian.PutUint16(b[4:], echoIdentifier)
		if p.Proto == icmp {
			binary.BigEndian.PutUint16(b[2:], ^sum(0, b))
		} else {
			binary.BigEndian.PutUint16(b[2:], p.checksum(b))
		}
		return b
	}
	return make([]byte, 16)
}

func (p packet) ports(length int) []byte {
	b := make([]byte, length)
	binary.BigEndian.PutUint16(b, p.Sport)
	binary.BigEndian.PutUint16(b[2:], p.Dport)
	return b
}

func (p packet) checksum(body []byte) uint16 {
	return p.checksumAs(p.Proto, body)
}

// checksumAs covers the addresses and the protocol too.
func (p packet) checksumAs(protocol uint8, body []byte) uint16 {
	pseudo := uint32(protocol) + uint32(len(body))
	pseudo += uint32(sum(0, p.Src.AsSlice()))
	pseudo += uint32(sum(0, p.Dst.AsSlice()))
	if result := ^sum(pseudo, body); result != 0 {
		return result
	}
	// Zero would say that there is none.
	return 0xffff
}

func sum(start uint32, data []byte) uint16 {
	total := start
	for i := 0; i+1 < len(data); i += 2 {
		total += uint32(binary.BigEndian.Uint16(data[i:]))
	}
	if len(data)%2 == 1 {
		total += uint32(data[len(data)-1]) << 8
	}
	for total > 0xffff {
		total = total>>16 + total&0xffff
	}
	return uint16(total)
}
