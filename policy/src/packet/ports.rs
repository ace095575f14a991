//! Sets of ports, and of ICMP types with codes.

use std::fmt;
use std::ops::RangeInclusive;

use super::interval::Intervals;

macro_rules! algebra {
    ($set:ident) => {
        impl $set {
            /// Nothing.
            pub fn empty() -> Self {
                Self(Intervals::empty())
            }

            /// Everything.
            pub fn all() -> Self {
                Self(Intervals::full())
            }

            /// What is in either.
            #[must_use]
            pub fn union(&self, other: &Self) -> Self {
                Self(self.0.union(&other.0))
            }

            /// What is in both.
            #[must_use]
            pub fn intersection(&self, other: &Self) -> Self {
                Self(self.0.intersection(&other.0))
            }

            /// What is in this one and not in the other.
            #[must_use]
            pub fn difference(&self, other: &Self) -> Self {
                Self(self.0.difference(&other.0))
            }

            /// What is not in this one.
            #[must_use]
            pub fn complement(&self) -> Self {
                Self(self.0.complement())
            }

            /// Whether nothing is in it.
            pub fn is_empty(&self) -> bool {
                self.0.is_empty()
            }

            /// Whether everything is in it.
            pub fn is_all(&self) -> bool {
                self.0.is_full()
            }

            /// Whether all of it is in the other.
            pub fn is_subset(&self, other: &Self) -> bool {
                self.0.is_subset(&other.0)
            }

            pub(super) fn intervals(&self) -> &Intervals<u16> {
                &self.0
            }

            pub(super) fn from_intervals(intervals: Intervals<u16>) -> Self {
                Self(intervals)
            }
        }
    };
}

/// A set of ports, 0 to 65535.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PortSet(Intervals<u16>);
algebra!(PortSet);

impl PortSet {
    /// Whether a port is in it.
    pub fn contains(&self, port: u16) -> bool {
        self.0.contains(port)
    }

    /// The ranges, ascending, with a gap between any two.
    pub fn ranges(&self) -> impl ExactSizeIterator<Item = RangeInclusive<u16>> + '_ {
        self.0.ranges().iter().map(|(first, last)| *first..=*last)
    }
}

impl From<u16> for PortSet {
    fn from(port: u16) -> Self {
        Self(Intervals::of([(port, port)]))
    }
}

impl From<RangeInclusive<u16>> for PortSet {
    fn from(range: RangeInclusive<u16>) -> Self {
        Self(Intervals::of([range.into_inner()]))
    }
}

/// The union; a range whose end is before its start is empty.
impl FromIterator<RangeInclusive<u16>> for PortSet {
    fn from_iter<I: IntoIterator<Item = RangeInclusive<u16>>>(ranges: I) -> Self {
        Self(Intervals::of(ranges.into_iter().map(RangeInclusive::into_inner)))
    }
}

impl FromIterator<u16> for PortSet {
    fn from_iter<I: IntoIterator<Item = u16>>(ports: I) -> Self {
        Self(Intervals::of(ports.into_iter().map(|port| (port, port))))
    }
}

/// `22,6443,30000-32767`; `any` and `none` for the two ends.
impl fmt::Display for PortSet {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_all() {
            return formatter.write_str("any");
        }
        list(formatter, self.0.ranges(), |formatter, first, last| match first == last {
            true => write!(formatter, "{first}"),
            false => write!(formatter, "{first}-{last}"),
        })
    }
}

/// A set of pairs of ICMP type and code.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct IcmpSet(Intervals<u16>);
algebra!(IcmpSet);

impl IcmpSet {
    /// A type with all its codes.
    pub fn kind(kind: u8) -> Self {
        Self(Intervals::of([(pair(kind, 0), pair(kind, u8::MAX))]))
    }

    /// A type with one code.
    pub fn code(kind: u8, code: u8) -> Self {
        Self(Intervals::of([(pair(kind, code), pair(kind, code))]))
    }

    /// Whether a type with a code is in it.
    pub fn contains(&self, kind: u8, code: u8) -> bool {
        self.0.contains(pair(kind, code))
    }
}

/// `type 8`, `type 3 code 0-4`, `types 0-7`.
impl fmt::Display for IcmpSet {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_all() {
            return formatter.write_str("any");
        }
        // One text for each range of whole types, one for what is left of a type at either end.
        let pieces = self.0.ranges().iter().flat_map(|(first, last)| {
            let ([from, from_code], [to, to_code]) = (first.to_be_bytes(), last.to_be_bytes());
            let whole = (u16::from(from) + u16::from(from_code > 0), u16::from(to) + u16::from(to_code == u8::MAX));
            let head = (from_code > 0 || from == to && to_code < u8::MAX)
                .then(|| codes(from, from_code, if from == to { to_code } else { u8::MAX }));
            let middle = (whole.0 < whole.1).then(|| match whole.1 - whole.0 {
                1 => format!("type {}", whole.0),
                _ => format!("types {}-{}", whole.0, whole.1 - 1),
            });
            let tail = (from < to && to_code < u8::MAX).then(|| codes(to, 0, to_code));
            [head, middle, tail].into_iter().flatten()
        });
        let text: Vec<String> = pieces.collect();
        formatter.write_str(if text.is_empty() { "none" } else { "" })?;
        formatter.write_str(&text.join(", "))
    }
}

fn codes(kind: u8, first: u8, last: u8) -> String {
    if first == last { format!("type {kind} code {first}") } else { format!("type {kind} code {first}-{last}") }
}

/// Type and code as one number, in the order of both.
pub(super) fn pair(kind: u8, code: u8) -> u16 {
    u16::from_be_bytes([kind, code])
}

pub(super) fn list<T: Copy>(
    formatter: &mut fmt::Formatter<'_>,
    ranges: &[(T, T)],
    write: impl Fn(&mut fmt::Formatter<'_>, T, T) -> fmt::Result,
) -> fmt::Result {
    if ranges.is_empty() {
        return formatter.write_str("none");
    }
    let limit = formatter.precision().unwrap_or(usize::MAX);
    for (index, (first, last)) in ranges.iter().enumerate() {
        if index > 0 {
            formatter.write_str(",")?;
        }
        if index == limit {
            return write!(formatter, "and {} more", ranges.len() - limit);
        }
        write(formatter, *first, *last)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_read_as_people_write_them() {
        let ports = PortSet::from_iter([6443..=6443, 30000..=32767, 22..=22]);
        assert_eq!(ports.to_string(), "22,6443,30000-32767");
        assert_eq!(format!("{ports:.2}"), "22,6443,and 1 more");
        assert_eq!(PortSet::all().to_string(), "any");
        assert_eq!(PortSet::empty().to_string(), "none");
        let (first, last) = (5, 4);
        assert_eq!(PortSet::from(first..=last), PortSet::empty());
        assert_eq!(PortSet::from_iter([0..=21, 22..=65535]), PortSet::all());
    }

    #[test]
    fn types_and_codes_read_as_people_write_them() {
        assert_eq!(IcmpSet::kind(8).to_string(), "type 8");
        assert_eq!(IcmpSet::code(3, 4).to_string(), "type 3 code 4");
        assert_eq!(IcmpSet::kind(255).to_string(), "type 255");
        assert_eq!(IcmpSet::kind(8).complement().to_string(), "types 0-7, types 9-255");
        assert_eq!(
            IcmpSet::code(3, 4).complement().to_string(),
            "types 0-2, type 3 code 0-3, type 3 code 5-255, types 4-255"
        );
        let across = (5..=255).map(|code| IcmpSet::code(3, code)).chain((0..=3).map(|code| IcmpSet::code(4, code)));
        let across = across.fold(IcmpSet::empty(), |all, one| all.union(&one));
        assert_eq!(across.to_string(), "type 3 code 5-255, type 4 code 0-3");
        assert_eq!(IcmpSet::all().to_string(), "any");
        assert_eq!(IcmpSet::empty().to_string(), "none");
    }
}
