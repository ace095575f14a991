//! Which of the objects in the table the API server has, and in which version.

use std::collections::{BTreeMap, BTreeSet};

use kube::api::{Api, ListParams};
use kube::core::ApiResource;
use kube::{Client, Error};

use super::object::Object;
use super::table::{ROWS, Row, is_calico};

/// How a row is served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Served {
    /// So.
    As(ApiResource),
    /// Not at all.
    Absent,
    /// As a view of what `crd.projectcalico.org` stores, and what is stored is read.
    Twin,
    /// It could not be found out.
    Unknown(String),
}

/// Asks the API server. One answer for each row of the table.
///
/// # Errors
///
/// It does not say which groups it has.
pub async fn discover(client: &Client) -> Result<Vec<Served>, Error> {
    let groups = client.list_api_groups().await?;
    let versions = groups.groups.iter().flat_map(|group| group.versions.iter().map(|it| it.group_version.as_str()));
    let mut there: BTreeSet<&str> = versions.collect();
    there.insert("v1");
    let mut resources: BTreeMap<String, Result<BTreeSet<String>, String>> = BTreeMap::new();
    let asked: BTreeSet<(&str, &str)> =
        ROWS.iter().flat_map(|row| row.versions.iter().map(|version| (row.group, *version))).collect();
    for (group, version) in asked {
        let name = api_version(group, version);
        if !there.contains(name.as_str()) {
            continue;
        }
        let list = if group.is_empty() {
            client.list_core_api_resources(version).await
        } else {
            client.list_api_group_resources(&name).await
        };
        let names = list.map(|list| list.resources.into_iter().map(|resource| resource.name).collect());
        resources.insert(name, names.map_err(|error| short(&error)));
    }
    let mut served: Vec<Served> = ROWS.iter().map(|row| of(row, &resources)).collect();
    let stored = |row: &Row| row.group == "crd.projectcalico.org";
    let is_stored = ROWS.iter().zip(&served).any(|(row, served)| stored(row) && matches!(served, Served::As(_)));
    if is_stored && there.contains("projectcalico.org/v3") {
        let aggregated = is_aggregated(client).await;
        for (row, served) in ROWS.iter().zip(&mut served).filter(|(row, _)| is_calico(row.group) && !stored(row)) {
            match &aggregated {
                Ok(true) => *served = Served::Twin,
                Ok(false) => {}
                Err(error) => *served = Served::Unknown(format!("{}: {}", row.title(), short(error))),
            }
        }
    }
    Ok(served)
}

fn of(row: &Row, resources: &BTreeMap<String, Result<BTreeSet<String>, String>>) -> Served {
    for version in row.versions {
        let api_version = api_version(row.group, version);
        match resources.get(&api_version) {
            Some(Ok(names)) if names.contains(row.resource) => {
                return Served::As(ApiResource {
                    group: row.group.to_owned(),
                    version: (*version).to_owned(),
                    api_version,
                    kind: row.kind.to_owned(),
                    plural: row.resource.to_owned(),
                });
            }
            Some(Err(reason)) => return Served::Unknown(format!("{api_version}: {reason}")),
            Some(Ok(_)) | None => {}
        }
    }
    Served::Absent
}

/// Whether `projectcalico.org/v3` is answered by calico-apiserver, and not from definitions of the API server's own.
async fn is_aggregated(client: &Client) -> Result<bool, Error> {
    let group = "apiregistration.k8s.io";
    let resource = ApiResource {
        group: group.to_owned(),
        version: "v1".to_owned(),
        api_version: api_version(group, "v1"),
        kind: "APIService".to_owned(),
        plural: "apiservices".to_owned(),
    };
    let api: Api<Object> = Api::all_with(client.clone(), &resource);
    // A list of one: it needs no permission that watching does not need.
    let list = api.list(&ListParams::default().fields("metadata.name=v3.projectcalico.org")).await?;
    let service = list.items.into_iter().next().map(|object| object.into_manifest(&resource));
    Ok(service.is_some_and(|service| service.value["spec"]["service"].is_object()))
}

fn api_version(group: &str, version: &str) -> String {
    if group.is_empty() { version.to_owned() } else { format!("{group}/{version}") }
}

/// What went wrong, in a line.
pub fn short(error: &Error) -> String {
    match error {
        Error::Api(status) if status.code == 403 => format!("forbidden: {}", status.message),
        Error::Api(status) => format!("{} {}", status.code, status.message),
        other => {
            // The cause is what tells: refused, timed out, certificate unknown.
            let mut cause: &dyn std::error::Error = other;
            while let Some(next) = cause.source() {
                cause = next;
            }
            format!("the API server does not answer: {cause}")
        }
    }
}
