//! The port matrix: reading, checking, expanding.

mod flows;
mod lifelines;
mod lint;
mod model;
mod read;
mod schema;
mod selectors;
mod settings;

pub use flows::flows;
pub use lifelines::lifelines;
pub use lint::lint;
pub use model::{
    Action, Cluster, Default, Direction, Expanded, Forward, Frame, IcmpMatch, Interfaces, Log, Origin, Peer, PortRange,
    Role, Row, Traffic, Transport,
};
pub use read::{API_VERSION, KIND, expand};
pub use schema::SCHEMA;
pub use settings::Settings;
