//! Persistent volumes that nodes reach over the network.

use serde::Deserialize;

use crate::snapshot::{Key, Volume};

#[derive(Deserialize)]
pub(super) struct RawVolume {
    #[serde(default)]
    spec: RawVolumeSpec,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct RawVolumeSpec {
    nfs: Option<RawNfs>,
    iscsi: Option<RawIscsi>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct RawNfs {
    server: String,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct RawIscsi {
    target_portal: String,
}

/// A volume of a kind whose server its object names; others are their drivers' business.
pub(super) fn volume(key: &Key, raw: RawVolume) -> Option<Volume> {
    let nfs = raw.spec.nfs.map(|nfs| ("spec.nfs.server", nfs.server));
    let (field, server) = nfs.or_else(|| Some(("spec.iscsi.targetPortal", raw.spec.iscsi?.target_portal)))?;
    Some(Volume { name: key.name.clone(), field: field.to_owned(), server })
}
