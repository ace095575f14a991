//! Custom resource definitions, taken from upstream's own modules.

use std::fs;
use std::path::{Path, PathBuf};

use super::{CrdSet, Module, go};
use crate::{Doing, Result};

const CILIUM_FILES: [&str; 2] = ["ciliumclusterwidenetworkpolicies.yaml", "ciliumcidrgroups.yaml"];

pub(super) const fn folder(set: CrdSet) -> &'static str {
    match set {
        CrdSet::CalicoV3 => "calico-v3",
        CrdSet::CalicoV1 => "calico-v1",
        CrdSet::Cilium => "cilium",
    }
}

/// Writes all three sets, each into its folder.
pub(super) fn export(into: &Path) -> Result<()> {
    let calico = go_module(Module::Calico, "github.com/projectcalico/calico")?;
    let from = Path::new(&calico).join("libcalico-go/config/crd");
    let stored = into.join(folder(CrdSet::CalicoV1));
    copy(&from, &stored, |name| name.ends_with(".yaml"))?;
    derive_calico_v3(&stored, &into.join(folder(CrdSet::CalicoV3)))?;

    let cilium = go_module(Module::Cilium, "github.com/cilium/cilium")?;
    let from = Path::new(&cilium).join("pkg/k8s/apis/cilium.io/client/crds/v2");
    copy(&from, &into.join(folder(CrdSet::Cilium)), |name| CILIUM_FILES.contains(&name))
}

/// Calico 3.31 has no native v3 definitions yet; its stored kinds hold the same specs under another group and version.
///
/// Generating them from the v3 Go types does not do: a stock generator cannot know that a port or a protocol is an
/// integer or a string, which kinds are cluster-wide, or the plural of ClusterInformation.
fn derive_calico_v3(stored: &Path, into: &Path) -> Result<()> {
    copy(stored, into, |name| name.starts_with("crd.projectcalico.org_"))?;
    for path in files(into)? {
        let text = fs::read_to_string(&path).doing(|| format!("read {}", path.display()))?;
        let text = text
            .replace("crd.projectcalico.org", "projectcalico.org")
            .replace("\n    - name: v1\n", "\n    - name: v3\n");
        fs::write(&path, text).doing(|| format!("write {}", path.display()))?;
    }
    Ok(())
}

fn go_module(asked_by: Module, path: &str) -> Result<String> {
    let source = asked_by.source();
    // A module that is not in the cache yet has no directory.
    go::run(&source, &["mod", "download", path])?;
    Ok(go::run(&source, &["list", "-m", "-f", "{{.Dir}}", path])?.trim().to_owned())
}

fn copy(from: &Path, into: &Path, wanted: impl Fn(&str) -> bool) -> Result<()> {
    fs::create_dir_all(into).doing(|| format!("make {}", into.display()))?;
    for source in files(from)? {
        let Some(name) = source.file_name().and_then(|name| name.to_str()) else {
            continue;
        };
        if wanted(name) {
            // Written anew, because files of the module cache are read-only.
            let text = fs::read(&source).doing(|| format!("read {}", source.display()))?;
            let path = into.join(name);
            fs::write(&path, text).doing(|| format!("write {}", path.display()))?;
        }
    }
    Ok(())
}

fn files(folder: &Path) -> Result<Vec<PathBuf>> {
    fs::read_dir(folder)
        .and_then(|entries| entries.map(|entry| Ok(entry?.path())).collect())
        .doing(|| format!("read {}", folder.display()))
}
