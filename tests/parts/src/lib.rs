//! What the whole-system tests start: the upstream parts, where they are, and how they are built when they are not there yet.
//!
//! Each module under `tests/upstream/` is built as a whole into `target/upstream/<module>-<hash>/`, where the hash covers
//! everything of ours that goes in: its files, the build settings and the version of Go. `LIFELINE_UPSTREAM_DIR` puts
//! the results elsewhere.

mod crds;
mod error;
mod go;
mod place;

use std::fs;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

pub use error::{Doing, Error, Result};
pub use place::{locked, target, workspace};

/// The Kubernetes version of the API server and of kubectl.
pub const KUBERNETES: &str = "v1.34.4";
/// The Calico version of everything of Calico's.
pub const CALICO: &str = "v3.31.0";
/// The Cilium version of everything of Cilium's.
pub const CILIUM: &str = "v1.20.2";

/// A program built from upstream's modules.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Program {
    /// The API server's store.
    Etcd,
    /// The Kubernetes API server.
    KubeApiserver,
    /// The Kubernetes client of the same version.
    Kubectl,
    /// Calico's validator, see `tests::check`.
    CalicoCheck,
    /// Calico's aggregated API server.
    CalicoApiserver,
    /// Calico's node agent.
    Felix,
    /// Cilium's policy parser, see `tests::check`.
    CiliumCheck,
    /// Cilium's policy engine, see `tests::live::cilium`.
    CiliumVerdicts,
    /// Network namespaces and packets for Felix, see `tests::felix`.
    Rig,
    /// Helm's engine, see `tests::chart`.
    HelmRender,
}

/// The definitions of one group of custom resources.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum CrdSet {
    /// `projectcalico.org/v3` as kinds of the API server itself, without a calico-apiserver. The schemas are those of
    /// [`CrdSet::CalicoV1`], so without the CEL rules that Calico 3.32 adds.
    CalicoV3,
    /// `crd.projectcalico.org/v1`, what calico-apiserver and calicoctl store.
    CalicoV1,
    /// `cilium.io/v2`: CiliumClusterwideNetworkPolicy and CiliumCIDRGroup.
    Cilium,
}

/// What is built together: the programs of a module under `tests/upstream/`, or the CRDs from the modules.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Module {
    Kube,
    Calico,
    Cilium,
    Crds,
    Rig,
    Helm,
}

const MODULES: [Module; 6] = [Module::Kube, Module::Calico, Module::Cilium, Module::Crds, Module::Rig, Module::Helm];

/// The path of a program, built first if it has to be.
///
/// # Errors
/// When Go is missing, or the build fails.
pub fn program(program: Program) -> Result<PathBuf> {
    let (module, name) = match program {
        Program::Etcd => (Module::Kube, "etcd"),
        Program::KubeApiserver => (Module::Kube, "kube-apiserver"),
        Program::Kubectl => (Module::Kube, "kubectl"),
        Program::CalicoCheck => (Module::Calico, "calico-check"),
        Program::CalicoApiserver => (Module::Calico, "calico-apiserver"),
        Program::Felix => (Module::Calico, "felix"),
        Program::CiliumCheck => (Module::Cilium, "cilium-check"),
        Program::CiliumVerdicts => (Module::Cilium, "cilium-verdicts"),
        Program::Rig => (Module::Rig, "rig"),
        Program::HelmRender => (Module::Helm, "helm"),
    };
    Ok(built(module)?.join(name))
}

/// A directory of YAML files that define the set, made first if it has to be.
///
/// # Errors
/// When Go is missing, or upstream's modules cannot be had.
pub fn crds(set: CrdSet) -> Result<PathBuf> {
    Ok(built(Module::Crds)?.join(crds::folder(set)))
}

/// Builds everything that is not built yet and returns the directories, one for each module.
///
/// # Errors
/// As [`program`].
pub fn build_all() -> Result<Vec<PathBuf>> {
    MODULES.into_iter().map(built).collect()
}

/// Checks the sources under `tests/upstream/` with `gofmt` and `go vet`.
///
/// # Errors
/// When Go is missing or one of the two has something to say.
pub fn vet() -> Result<()> {
    let upstream = workspace().join("tests/upstream");
    go::formatted(&upstream)?;
    // The other commands only call upstream's main function. Vetting them would take minutes, because it looks at
    // everything beneath them first.
    let own = [
        ("stdin", "."),
        ("calico", "./calico-check"),
        ("cilium", "./cilium-check"),
        ("cilium", "./cilium-verdicts"),
        ("rig", "."),
        ("helm", "."),
    ];
    for (module, package) in own {
        go::vet(&upstream.join(module), package)?;
    }
    Ok(())
}

fn built(module: Module) -> Result<PathBuf> {
    let parent = std::env::var_os("LIFELINE_UPSTREAM_DIR").map_or_else(|| target().join("upstream"), PathBuf::from);
    let name = module.folder();
    let result = parent.join(format!("{name}-{}", hash(module)?));
    if result.is_dir() {
        return Ok(result);
    }
    fs::create_dir_all(&parent).doing(|| format!("make {}", parent.display()))?;
    // One build at a time; whoever waited finds the result of the one before.
    let _lock = locked(&parent.join(format!("{name}.lock")))?;
    if result.is_dir() {
        return Ok(result);
    }
    // Complete or not there at all: only a finished build gets the name.
    let unfinished = parent.join(format!("{name}-unfinished"));
    if unfinished.exists() {
        fs::remove_dir_all(&unfinished).doing(|| format!("remove {}", unfinished.display()))?;
    }
    fs::create_dir_all(&unfinished).doing(|| format!("make {}", unfinished.display()))?;
    match module {
        Module::Crds => crds::export(&unfinished)?,
        _ => go::build(&module.source(), module.linker_flags(), &unfinished)?,
    }
    fs::rename(&unfinished, &result).doing(|| format!("name {}", result.display()))?;
    Ok(result)
}

impl Module {
    const fn folder(self) -> &'static str {
        match self {
            Self::Kube => "kube",
            Self::Calico => "calico",
            Self::Cilium => "cilium",
            Self::Crds => "crds",
            Self::Rig => "rig",
            Self::Helm => "helm",
        }
    }

    /// The folder of the module; the CRDs have none of their own.
    fn source(self) -> PathBuf {
        workspace().join("tests/upstream").join(self.folder())
    }

    /// Without its version kubectl complains about the server's.
    const fn linker_flags(self) -> &'static str {
        match self {
            Self::Kube => concat!(
                "-s -w -X k8s.io/component-base/version.gitVersion=v1.34.4",
                " -X k8s.io/component-base/version.gitMajor=1 -X k8s.io/component-base/version.gitMinor=34",
            ),
            Self::Calico | Self::Cilium | Self::Crds | Self::Rig | Self::Helm => "-s -w",
        }
    }

    /// Folders whose files go into what is built.
    fn inputs(self) -> Vec<PathBuf> {
        let upstream = workspace().join("tests/upstream");
        match self {
            // They are copied from the modules that these ask for.
            Self::Crds => vec![Self::Calico.source(), Self::Cilium.source()],
            _ => vec![self.source(), upstream.join("stdin")],
        }
    }
}

fn hash(module: Module) -> Result<String> {
    let mut files = Vec::new();
    for folder in module.inputs() {
        collect(&folder, &mut files)?;
    }
    files.sort();
    let mut hash = Sha256::new();
    hash.update(go::version()?);
    hash.update(go::COMPILER_FLAGS);
    hash.update(module.linker_flags());
    if module == Module::Crds {
        // How they are copied and derived is part of what they are.
        hash.update(include_str!("crds.rs"));
    }
    for file in files {
        let content = fs::read(&file).doing(|| format!("read {}", file.display()))?;
        let name = file.strip_prefix(workspace()).unwrap_or(&file).to_string_lossy().into_owned();
        // Lengths keep one file's end and the next one's name apart.
        hash.update(format!("\n{name} {}\n", content.len()));
        hash.update(content);
    }
    Ok(hash.finalize().iter().take(8).map(|byte| format!("{byte:02x}")).collect())
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    let reading = || format!("read {}", folder.display());
    for entry in fs::read_dir(folder).doing(reading)? {
        let path = entry.doing(reading)?.path();
        if path.is_dir() {
            collect(&path, files)?;
        } else {
            files.push(path);
        }
    }
    Ok(())
}
