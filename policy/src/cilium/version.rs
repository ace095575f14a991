//! Versions of Cilium, as far as they change a verdict.

use std::fmt;
use std::str::FromStr;

/// A minor version of Cilium, such as 1.20.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version {
    major: u16,
    minor: u16,
}

impl Version {
    /// The oldest version whose semantics are known.
    pub const OLDEST: Self = Self::new(1, 18);
    /// The newest version whose semantics are known, and the default.
    pub const NEWEST: Self = Self::new(1, 20);

    /// Drops `topology.kubernetes.io` labels, scopes pod selectors to the local cluster, knows VRRP and IGMP.
    pub const V1_19: Self = Self::new(1, 19);
    /// Has aggregate identities, CIDR match mode `pods`, the entity `cluster-mesh` and tunnel protocols, and leaves
    /// protocols that it does not track to policy.
    pub const V1_20: Self = Self::new(1, 20);

    /// A version, supported or not.
    pub const fn new(major: u16, minor: u16) -> Self {
        Self { major, minor }
    }

    /// Whether its semantics are known.
    pub fn is_supported(self) -> bool {
        (Self::OLDEST..=Self::NEWEST).contains(&self)
    }
}

impl Default for Version {
    fn default() -> Self {
        Self::NEWEST
    }
}

impl fmt::Display for Version {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}.{}", self.major, self.minor)
    }
}

/// A text that is not a version.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a version of Cilium; write it as {newest}", newest = Version::NEWEST)]
pub struct VersionError(String);

impl FromStr for Version {
    type Err = VersionError;

    /// Reads `1.20`, `v1.20`, `1.20.2` and `v1.20.2-rc.1`; only major and minor are kept.
    fn from_str(text: &str) -> Result<Self, VersionError> {
        let error = || VersionError(text.to_owned());
        let mut parts = text.strip_prefix('v').unwrap_or(text).splitn(3, '.');
        let mut number = || {
            let part = parts.next().filter(|part| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit()));
            part.and_then(|part| part.parse().ok()).ok_or_else(error)
        };
        Ok(Self::new(number()?, number()?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn major_and_minor_are_kept() {
        for text in ["1.20", "v1.20", "1.20.2", "v1.20.2-rc.1"] {
            assert_eq!(text.parse(), Ok(Version::new(1, 20)), "{text}");
        }
        for text in ["", "1", "1.", "one.two", "1.x", "+1.20", "1.20000000"] {
            assert!(text.parse::<Version>().is_err(), "{text}");
        }
    }

    #[test]
    fn supported_versions_are_1_18_to_1_20() {
        let supported: Vec<u16> = (0..40).filter(|minor| Version::new(1, *minor).is_supported()).collect();
        assert_eq!(supported, [18, 19, 20]);
        assert!(!Version::new(2, 18).is_supported());
    }
}
