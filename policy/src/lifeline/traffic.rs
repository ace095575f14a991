//! Packets of a flow as text: `TCP/6443`, `UDP/30000-32767`, `UDP/67>68` (from one port), `ICMP/3/4`, `IPIP`, `any`.

use std::fmt;
use std::str::FromStr;

use super::model::{Ports, Traffic};
use crate::packet::protocol;

impl Traffic {
    /// Every packet.
    pub const ANY: Self = Self { protocol: None, source_port: None, ports: Ports::All };

    /// Packets of a protocol.
    pub const fn of(protocol: u8, ports: Ports) -> Self {
        Self { protocol: Some(protocol), source_port: None, ports }
    }

    /// TCP to one port.
    pub const fn tcp(port: u16) -> Self {
        Self::of(protocol::TCP, Ports::Range(port, port))
    }

    /// UDP to one port.
    pub const fn udp(port: u16) -> Self {
        Self::of(protocol::UDP, Ports::Range(port, port))
    }

    /// Every packet of a protocol.
    pub const fn protocol(number: u8) -> Self {
        Self::of(number, Ports::All)
    }

    /// Packets that are in both.
    pub fn and(self, other: Self) -> Option<Self> {
        let protocol = match (self.protocol, other.protocol) {
            (Some(one), Some(two)) if one != two => return None,
            (one, two) => one.or(two),
        };
        let source_port = match (self.source_port, other.source_port) {
            (Some(one), Some(two)) if one != two => return None,
            (one, two) => one.or(two),
        };
        let ports = match (self.ports, other.ports) {
            (Ports::All, ports) | (ports, Ports::All) => ports,
            (Ports::Range(a, b), Ports::Range(c, d)) if a.max(c) <= b.min(d) => Ports::Range(a.max(c), b.min(d)),
            (Ports::Icmp(a, code), Ports::Icmp(b, other)) if a == b => match (code, other) {
                (Some(one), Some(two)) if one != two => return None,
                (one, two) => Ports::Icmp(a, one.or(two)),
            },
            _ => return None,
        };
        Some(Self { protocol, source_port, ports })
    }
}

impl fmt::Display for Traffic {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.protocol {
            None => formatter.write_str("any")?,
            Some(number) => match protocol::name(number) {
                Some(name) => formatter.write_str(name)?,
                None => write!(formatter, "{number}")?,
            },
        }
        let source = self.source_port.map(|port| format!("{port}>")).unwrap_or_default();
        match self.ports {
            Ports::All if source.is_empty() => Ok(()),
            Ports::All => write!(formatter, "/{source}"),
            Ports::Range(first, last) if first == last => write!(formatter, "/{source}{first}"),
            Ports::Range(first, last) => write!(formatter, "/{source}{first}-{last}"),
            Ports::Icmp(kind, None) => write!(formatter, "/{kind}"),
            Ports::Icmp(kind, Some(code)) => write!(formatter, "/{kind}/{code}"),
        }
    }
}

/// A text that does not say which packets are meant.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TrafficError {
    /// No such protocol.
    #[error("`{0}` is not a protocol; write TCP, UDP, SCTP, ICMP, ICMPv6, IPIP, ESP, GRE, VRRP, a number, or any")]
    Protocol(String),
    /// Ports of a protocol that has none.
    #[error("{0} has no ports; write `{0}` alone")]
    NoPorts(String),
    /// Not a port, nor a range of them.
    #[error("`{0}` is not a port; write a number from 1 to 65535, or a range such as 2379-2380")]
    Port(String),
    /// A range that ends before it begins.
    #[error("the range {0}-{1} is inverted")]
    Inverted(u16, u16),
    /// Not an ICMP type, nor a type and a code.
    #[error("`{0}` is not an ICMP type; write a number from 0 to 255, with a code after another slash if one is meant")]
    Icmp(String),
}

impl FromStr for Traffic {
    type Err = TrafficError;

    fn from_str(text: &str) -> Result<Self, TrafficError> {
        let (name, rest) = match text.split_once('/') {
            Some((name, rest)) => (name, Some(rest)),
            None => (text, None),
        };
        let number = match name {
            "any" | "Any" => None,
            name => Some(by_name(name).ok_or_else(|| TrafficError::Protocol(name.to_owned()))?),
        };
        let mut source_port = None;
        let ports = match (rest, number) {
            (None, _) => Ports::All,
            (Some(rest), Some(protocol::ICMP | protocol::ICMPV6)) => icmp(rest)?,
            (Some(rest), Some(number)) if protocol::has_ports(number) => {
                let (source, destination) = rest.split_once('>').map_or((None, rest), |(from, to)| (Some(from), to));
                source_port = source.map(port).transpose()?;
                if destination.is_empty() && source.is_some() { Ports::All } else { range(destination)? }
            }
            (Some(_), _) => return Err(TrafficError::NoPorts(name.to_owned())),
        };
        Ok(Self { protocol: number, source_port, ports })
    }
}

fn by_name(name: &str) -> Option<u8> {
    decimal(name).or_else(|| (0..=u8::MAX).find(|number| protocol::name(*number) == Some(name)))
}

fn range(text: &str) -> Result<Ports, TrafficError> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let (first, last) = (port(first)?, port(last)?);
    if first > last {
        return Err(TrafficError::Inverted(first, last));
    }
    Ok(Ports::Range(first, last))
}

fn port(text: &str) -> Result<u16, TrafficError> {
    decimal(text).filter(|port| *port != 0).ok_or_else(|| TrafficError::Port(text.to_owned()))
}

fn icmp(text: &str) -> Result<Ports, TrafficError> {
    let error = || TrafficError::Icmp(text.to_owned());
    let (kind, code) = match text.split_once('/') {
        Some((kind, code)) => (kind, Some(decimal(code).ok_or_else(error)?)),
        None => (text, None),
    };
    Ok(Ports::Icmp(decimal(kind).ok_or_else(error)?, code))
}

/// A number without sign or leading zero.
fn decimal<T: FromStr>(text: &str) -> Option<T> {
    let plain = text.bytes().all(|byte| byte.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    plain.then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_again() {
        for text in [
            "TCP/6443",
            "UDP/30000-32767",
            "ICMP/3/4",
            "ICMPv6/133",
            "ICMP",
            "IPIP",
            "ESP",
            "253",
            "SCTP",
            "any",
            "UDP/67>68",
            "UDP/67>",
            "TCP/1>2-3",
        ] {
            assert_eq!(text.parse::<Traffic>().expect(text).to_string(), text);
        }
        assert_eq!("6/22".parse(), Ok(Traffic::tcp(22)));
    }

    #[test]
    fn mistakes_say_what_to_write() {
        let error = |text: &str| text.parse::<Traffic>().expect_err(text);
        assert_eq!(error("tcp/22"), TrafficError::Protocol("tcp".to_owned()));
        assert_eq!(error("TCP/0"), TrafficError::Port("0".to_owned()));
        assert_eq!(error("TCP/65536"), TrafficError::Port("65536".to_owned()));
        assert_eq!(error("TCP/022"), TrafficError::Port("022".to_owned()));
        assert_eq!(error("UDP/x>68"), TrafficError::Port("x".to_owned()));
        assert_eq!(error("UDP/67>68>69"), TrafficError::Port("68>69".to_owned()));
        assert_eq!(error("TCP/9-1"), TrafficError::Inverted(9, 1));
        assert_eq!(error("IPIP/4"), TrafficError::NoPorts("IPIP".to_owned()));
        assert_eq!(error("any/22"), TrafficError::NoPorts("any".to_owned()));
        assert_eq!(error("ICMP/256"), TrafficError::Icmp("256".to_owned()));
        assert_eq!(error(""), TrafficError::Protocol(String::new()));
    }

    #[test]
    fn packets_in_both() {
        let and = |a: &str, b: &str| {
            let (a, b): (Traffic, Traffic) = (a.parse().expect(a), b.parse().expect(b));
            assert_eq!(a.and(b), b.and(a));
            a.and(b).map(|both| both.to_string())
        };
        assert_eq!(and("TCP/1-9", "TCP/5-20").as_deref(), Some("TCP/5-9"));
        assert_eq!(and("TCP/1-9", "TCP/10"), None);
        assert_eq!(and("TCP/1", "UDP/1"), None);
        assert_eq!(and("UDP/67>68", "UDP/1-99").as_deref(), Some("UDP/67>68"));
        assert_eq!(and("UDP/67>68", "UDP/66>68"), None);
        assert_eq!(and("any", "ICMP/3/4").as_deref(), Some("ICMP/3/4"));
        assert_eq!(and("ICMP/3", "ICMP/3/4").as_deref(), Some("ICMP/3/4"));
        assert_eq!(and("ICMP/3/1", "ICMP/3/4"), None);
    }
}
