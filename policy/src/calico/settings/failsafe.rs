//! Failsafe ports (projectcalico/calico:felix/config/param_types.go PortListParam).

use std::fmt;

use ipnet::IpNet;
use serde::Serialize;

use crate::calico::address;

/// Protocol of a failsafe port. Felix takes no other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Transport {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
}

impl Transport {
    /// Protocol number.
    pub fn number(self) -> u8 {
        match self {
            Self::Tcp => 6,
            Self::Udp => 17,
        }
    }
}

/// A port that policy cannot close.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct FailsafePort {
    /// Protocol.
    pub transport: Transport,
    /// Port.
    pub port: u16,
    /// The other side's addresses; absent is anywhere, in both families.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub net: Option<IpNet>,
}

impl fmt::Display for FailsafePort {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let transport = match self.transport {
            Transport::Tcp => "tcp",
            Transport::Udp => "udp",
        };
        write!(formatter, "{transport}:{}", self.port)?;
        self.net.map_or(Ok(()), |net| write!(formatter, " ({net})"))
    }
}

/// Built-in inbound list (projectcalico/calico:felix/config/config_params.go, the same from 3.24 on).
pub const INBOUND: [FailsafePort; 9] = [
    anywhere(Transport::Tcp, 22),
    anywhere(Transport::Udp, 68),
    anywhere(Transport::Tcp, 179),
    anywhere(Transport::Tcp, 2379),
    anywhere(Transport::Tcp, 2380),
    anywhere(Transport::Tcp, 5473),
    anywhere(Transport::Tcp, 6443),
    anywhere(Transport::Tcp, 6666),
    anywhere(Transport::Tcp, 6667),
];

/// Built-in outbound list.
pub const OUTBOUND: [FailsafePort; 9] = [
    anywhere(Transport::Udp, 53),
    anywhere(Transport::Udp, 67),
    anywhere(Transport::Tcp, 179),
    anywhere(Transport::Tcp, 2379),
    anywhere(Transport::Tcp, 2380),
    anywhere(Transport::Tcp, 5473),
    anywhere(Transport::Tcp, 6443),
    anywhere(Transport::Tcp, 6666),
    anywhere(Transport::Tcp, 6667),
];

const fn anywhere(transport: Transport, port: u16) -> FailsafePort {
    FailsafePort { transport, port, net: None }
}

/// Why a failsafe list stops Felix.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FailsafeError {
    /// Neither TCP nor UDP. The API takes SCTP, Felix does not.
    #[error("Felix refuses the protocol `{0}` and does not start")]
    Protocol(String),
    /// Not a port.
    #[error("`{0}` is not a port")]
    Port(String),
    /// Not a prefix or an address; Felix crashes on it when it is in a FelixConfiguration.
    #[error("`{0}` is not a prefix, and Felix crashes on it")]
    Net(String),
    /// Not of the form of the environment variable.
    #[error("`{0}` is not of the form `protocol:net:port`")]
    Form(String),
}

/// One port of a FelixConfiguration.
pub(super) fn port(protocol: &str, port: i64, net: Option<&str>) -> Result<FailsafePort, FailsafeError> {
    let transport = match protocol.to_ascii_lowercase().as_str() {
        "tcp" => Transport::Tcp,
        "udp" => Transport::Udp,
        _ => return Err(FailsafeError::Protocol(protocol.to_owned())),
    };
    let port = u16::try_from(port).map_err(|_| FailsafeError::Port(port.to_string()))?;
    let net = match net.filter(|net| !net.is_empty()) {
        Some(text) => Some(address::prefix_or_address(text).ok_or_else(|| FailsafeError::Net(text.to_owned()))?),
        None => None,
    };
    Ok(FailsafePort { transport, port, net })
}

/// The list as an environment variable has it: `none`, or entries `port`, `protocol:port`, `protocol:net:port` with an
/// IPv6 prefix in brackets.
pub(super) fn list(text: &str) -> Result<Vec<FailsafePort>, FailsafeError> {
    if text.trim().eq_ignore_ascii_case("none") {
        return Ok(Vec::new());
    }
    text.split(',').map(|entry| entry.trim_matches(' ')).filter(|entry| !entry.is_empty()).map(entry).collect()
}

fn entry(text: &str) -> Result<FailsafePort, FailsafeError> {
    let form = || FailsafeError::Form(text.to_owned());
    let number = |port: &str| port.parse::<i64>().map_err(|_| FailsafeError::Port(port.to_owned()));
    if let Some((before, bracketed)) = text.split_once('[') {
        let (net, after) = bracketed.split_once("]:").ok_or_else(form)?;
        return port(before.strip_suffix(':').ok_or_else(form)?, number(after)?, Some(net));
    }
    let parts: Vec<&str> = text.split(':').collect();
    match parts.as_slice() {
        [only] => port("tcp", number(only)?, None),
        [protocol, last] => port(protocol, number(last)?, None),
        [protocol, net, last] => port(protocol, number(last)?, Some(net)),
        _ => Err(form()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_environment_variable_is_read_as_felix_reads_it() {
        let shown = |text| list(text).map(|ports| ports.iter().map(ToString::to_string).collect::<Vec<_>>());
        assert_eq!(shown("none"), Ok(vec![]));
        assert_eq!(shown(""), Ok(vec![]));
        assert_eq!(
            shown("22, UDP:68,tcp:10.0.0.0/8:80,tcp:[fd00::/8]:179"),
            Ok(["tcp:22", "udp:68", "tcp:80 (10.0.0.0/8)", "tcp:179 (fd00::/8)"].map(str::to_owned).to_vec())
        );
        assert_eq!(shown("sctp:80"), Err(FailsafeError::Protocol("sctp".to_owned())));
        assert_eq!(shown("tcp:65536"), Err(FailsafeError::Port("65536".to_owned())));
        assert_eq!(shown("tcp:banana:80"), Err(FailsafeError::Net("banana".to_owned())));
        assert_eq!(shown("a:b:c:d"), Err(FailsafeError::Form("a:b:c:d".to_owned())));
    }
}
