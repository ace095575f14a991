//! Versions of Calico, as far as they change a verdict.

use std::fmt;
use std::str::FromStr;

use serde::Serialize;

/// A release line of Calico, such as 3.31.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Version {
    /// Major number.
    pub major: u16,
    /// Minor number.
    pub minor: u16,
}

impl Version {
    /// Oldest release line with tiers (projectcalico/calico:api/pkg/apis/projectcalico/v3/tier.go), and so the oldest
    /// that this engine knows.
    pub const OLDEST: Self = Self { major: 3, minor: 29 };
    /// Newest released line when this was written.
    pub const NEWEST: Self = Self { major: 3, minor: 32 };
    /// Assumed where nothing tells.
    pub const ASSUMED: Self = Self { major: 3, minor: 31 };

    /// From 3.32 a policy is stored under the name that its author gave, its tier is `spec.tier`, and ties are broken
    /// by `name/namespace/kind`; before, the tier is a prefix of the name
    /// (projectcalico/calico:libcalico-go/lib/names/policy.go, felix/calc/policy_sorter.go).
    pub fn plain_names(self) -> bool {
        self >= Self { major: 3, minor: 32 }
    }

    /// Whether this engine was checked against the release line.
    pub fn is_known(self) -> bool {
        (Self::OLDEST..=Self::NEWEST).contains(&self)
    }

    /// From the tag of an image, such as `docker.io/calico/node:v3.31.0`.
    pub fn of_image(image: &str) -> Option<Self> {
        let name = image.split('@').next()?;
        let (_, tag) = name.rsplit_once(':')?;
        tag.parse().ok()
    }
}

impl FromStr for Version {
    type Err = VersionError;

    fn from_str(text: &str) -> Result<Self, VersionError> {
        let error = || VersionError(text.to_owned());
        let mut parts = text.strip_prefix('v').unwrap_or(text).split(['.', '-', '+']);
        let mut number = || parts.next().and_then(|part| part.parse().ok()).ok_or_else(error);
        Ok(Self { major: number()?, minor: number()? })
    }
}

impl fmt::Display for Version {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}.{}", self.major, self.minor)
    }
}

/// A text that is not a version.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a version such as v3.31.0")]
pub struct VersionError(String);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_tell_the_version() {
        let version = |image| Version::of_image(image).map(|version| version.to_string());
        assert_eq!(version("docker.io/calico/node:v3.31.0").as_deref(), Some("3.31"));
        assert_eq!(version("registry:5000/calico/node:v3.30.4-1@sha256:00").as_deref(), Some("3.30"));
        assert_eq!(version("quay.io/calico/node:master"), None);
        assert_eq!(version("registry:5000/calico/node"), None);
        assert_eq!(version("calico/node"), None);
    }

    #[test]
    fn names_changed_with_3_32() {
        assert!(!Version { major: 3, minor: 31 }.plain_names());
        assert!(Version { major: 3, minor: 32 }.plain_names());
        assert!(!Version { major: 3, minor: 28 }.is_known() && !Version { major: 3, minor: 34 }.is_known());
    }
}
