//! Values of settings, and how the agent reads them.

use super::super::label_filter::{LabelFilter, PatternError};

/// Value of `enable-policy`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Enforcement {
    /// Where a policy applies.
    Default,
    /// Everywhere.
    Always,
    /// Nowhere.
    Never,
}

/// Value of `policy-cidr-match-mode`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CidrMatchMode {
    /// Prefixes match nodes, except a prefix of length 0.
    pub nodes: bool,
    /// Prefixes match pods.
    pub pods: bool,
}

/// Value of `routing-mode`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RoutingMode {
    /// Encapsulated.
    Tunnel,
    /// By the network.
    Native,
}

/// Value of `tunnel-protocol`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TunnelProtocol {
    /// VXLAN, port 8472.
    Vxlan,
    /// Geneve, port 6081.
    Geneve,
}

/// As Go's strconv.ParseBool, which reads these values for the agent.
pub(super) fn boolean(value: &str) -> Result<bool, String> {
    match value {
        "1" | "t" | "T" | "TRUE" | "true" | "True" => Ok(true),
        "0" | "f" | "F" | "FALSE" | "false" | "False" => Ok(false),
        _ => Err("`true` or `false`".to_owned()),
    }
}

pub(super) fn text(value: &str) -> Result<String, String> {
    Ok(value.to_owned())
}

pub(super) fn words(value: &str) -> Result<Vec<String>, String> {
    Ok(value.split([' ', ',', '\t', '\n']).filter(|word| !word.is_empty()).map(str::to_owned).collect())
}

pub(super) fn patterns(value: &str) -> Result<Vec<String>, String> {
    checked(value, LabelFilter::add)
}

pub(super) fn excluded(value: &str) -> Result<Vec<String>, String> {
    checked(value, LabelFilter::exclude)
}

fn checked(value: &str, adder: fn(&mut LabelFilter, &str) -> Result<(), PatternError>) -> Result<Vec<String>, String> {
    let words: Vec<String> = value.split_whitespace().map(str::to_owned).collect();
    let mut filter = LabelFilter::default();
    for word in &words {
        adder(&mut filter, word).map_err(|error| format!("label patterns separated by blanks ({error})"))?;
    }
    Ok(words)
}

pub(super) fn enforcement(value: &str) -> Result<Enforcement, String> {
    match value.to_ascii_lowercase().as_str() {
        "default" | "" => Ok(Enforcement::Default),
        "always" => Ok(Enforcement::Always),
        "never" => Ok(Enforcement::Never),
        _ => Err("`default`, `always` or `never`".to_owned()),
    }
}

pub(super) fn match_mode(value: &str) -> Result<CidrMatchMode, String> {
    let mut mode = CidrMatchMode::default();
    for word in value.split([' ', ',', '\t', '\n']).filter(|word| !word.is_empty()) {
        match word {
            "nodes" => mode.nodes = true,
            "pods" => mode.pods = true,
            _ => return Err("`nodes`, `pods`, both, or nothing".to_owned()),
        }
    }
    Ok(mode)
}

pub(super) fn routing(value: &str) -> Result<RoutingMode, String> {
    match value {
        "tunnel" => Ok(RoutingMode::Tunnel),
        "native" => Ok(RoutingMode::Native),
        _ => Err("`tunnel` or `native`".to_owned()),
    }
}

pub(super) fn tunnel(value: &str) -> Result<TunnelProtocol, String> {
    match value {
        "vxlan" => Ok(TunnelProtocol::Vxlan),
        "geneve" => Ok(TunnelProtocol::Geneve),
        _ => Err("`vxlan` or `geneve`".to_owned()),
    }
}

pub(super) fn port(value: &str) -> Result<u16, String> {
    value.parse().map_err(|_| "a port, 0 to 65535".to_owned())
}

pub(super) fn map_size(value: &str) -> Result<usize, String> {
    value.parse().ok().filter(|number| *number > 0).ok_or_else(|| "a number of entries".to_owned())
}
