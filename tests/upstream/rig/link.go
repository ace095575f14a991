package main

import (
	"fmt"
	"net"
	"syscall"
)

// A link is a way into the node: packets that are sent into it arrive at the interface.
type link struct {
	socket int
	index  int
	mac    net.HardwareAddr
}

const ethernetHeader = 14

// allProtocols is ETH_P_ALL as the network has it.
const allProtocols = uint16(0x0300)

func (n *node) openSockets() error {
	for _, name := range n.names {
		mac, err := hardwareAddress(n.inside, name)
		if err != nil {
			return err
		}
		if n.links[name], err = openLink(n.outside, name, mac); err != nil {
			return err
		}
	}
	loopback, err := openLink(n.inside, "lo", make(net.HardwareAddr, 6))
	if err != nil {
		return err
	}
	n.links["lo"] = loopback
	for _, name := range append([]string{"lo"}, n.names...) {
		if n.raw4[name], err = openRaw(n.inside, syscall.AF_INET, name); err != nil {
			return err
		}
		if n.raw6[name], err = openRaw(n.inside, syscall.AF_INET6, name); err != nil {
			return err
		}
	}
	return nil
}

func hardwareAddress(ns *namespace, name string) (mac net.HardwareAddr, err error) {
	err = ns.do(func() error {
		found, err := net.InterfaceByName(name)
		if err == nil {
			mac = found.HardwareAddr
		}
		return err
	})
	return mac, err
}

func openLink(ns *namespace, name string, mac net.HardwareAddr) (*link, error) {
	l := &link{mac: mac}
	err := ns.do(func() error {
		found, err := net.InterfaceByName(name)
		if err != nil {
			return err
		}
		l.index = found.Index
		// Protocol 0: it never receives.
		l.socket, err = syscall.Socket(syscall.AF_PACKET, syscall.SOCK_RAW, 0)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("open interface %s: %w", name, err)
	}
	return l, nil
}

// openRaw opens a socket whose packets come from the node itself and leave through the interface.
func openRaw(ns *namespace, family int, name string) (socket int, err error) {
	err = ns.do(func() error {
		socket, err = syscall.Socket(family, syscall.SOCK_RAW, syscall.IPPROTO_RAW)
		// Addresses of the node lead through lo by themselves, and those of IPv6 in no other way.
		if err != nil || name == "lo" {
			return err
		}
		return syscall.BindToDevice(socket, name)
	})
	if err != nil {
		return 0, fmt.Errorf("open a raw socket on %s: %w", name, err)
	}
	return socket, nil
}

// send lets a packet arrive. The last byte of the sender's hardware address says which way it is to be forwarded.
func (l *link) send(way int, ip []byte) error {
	frame := make([]byte, ethernetHeader, ethernetHeader+len(ip))
	copy(frame, l.mac)
	copy(frame[6:], []byte{2, 0, 0, 0, 0, byte(way)})
	frame[12], frame[13] = 0x08, 0x00
	if ip[0]>>4 == 6 {
		frame[12], frame[13] = 0x86, 0xdd
	}
	to := syscall.SockaddrLinklayer{Protocol: allProtocols, Ifindex: l.index}
	return syscall.Sendto(l.socket, append(frame, ip...), 0, &to)
}

// emit sends a packet from the node itself.
func (n *node) emit(p packet, ip []byte) error {
	if p.Src.Is4() {
		return syscall.Sendto(n.raw4[p.Iface], ip, 0, &syscall.SockaddrInet4{Addr: p.Dst.As4()})
	}
	return syscall.Sendto(n.raw6[p.Iface], ip, 0, &syscall.SockaddrInet6{Addr: p.Dst.As16()})
}
