//! The port matrix: reading, checking, expanding.

mod model;

pub use model::{
    Action, Cluster, Default, Direction, Expanded, Forward, Frame, IcmpMatch, Interfaces, Log, Origin, Peer, PortRange,
    Role, Row, Traffic, Transport,
};
