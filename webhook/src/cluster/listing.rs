//! What an API server has of one kind, at the price of names and revisions.
//!
//! Most of what is read for a change has not changed since the watch told of it. So names and revisions are listed, and
//! objects fetched only where they differ from what is known. The list is a consistent one; what is fetched after it need
//! only be no older than it, which the API server answers from its cache without asking etcd
//! (kubernetes/apiserver:pkg/storage/cacher/delegator.go).

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::Arc;

use futures::future::try_join_all;
use kube::api::{Api, ListParams, Request, VersionMatch};
use kube::core::ApiResource;
use kube::{Client, Error};
use policy::snapshot::{Manifest, Objects};
use serde::Deserialize;

use super::object::{Object, revision};
use super::table::Row;

/// Objects that are fetched one by one. Where more differ, all of their kind are listed: that is one request.
const FEW: usize = 4;

/// The objects of one kind, as a list named them.
pub(super) struct Listing {
    row: &'static Row,
    resource: ApiResource,
    api: Api<Object>,
    revision: String,
    heads: Vec<Head>,
}

/// What tells one write of one object from all others.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Head {
    namespace: String,
    name: String,
    resource_version: String,
}

#[derive(Deserialize)]
struct List {
    metadata: Head,
    #[serde(default)]
    items: Option<Vec<Item>>,
}

#[derive(Deserialize)]
struct Item {
    metadata: Head,
}

impl Listing {
    /// Lists names and revisions: those at some moment after this was called.
    pub(super) async fn read(client: &Client, row: &'static Row, resource: ApiResource) -> Result<Self, Error> {
        let api: Api<Object> = Api::all_with(client.clone(), &resource);
        // Not into kube's own types: those hold managed fields, most of what an object of few fields is.
        let request = Request::new(api.resource_url()).list_metadata(&ListParams::default());
        let list: List = client.request(request.map_err(Error::BuildRequest)?).await?;
        let heads = list.items.unwrap_or_default().into_iter().map(|item| item.metadata).collect();
        Ok(Self { row, resource, api, revision: list.metadata.resource_version, heads })
    }

    /// What is listed.
    pub(super) const fn row(&self) -> &'static Row {
        self.row
    }

    /// All objects of the kind, if they are others than those that are known. The same ones stay in their place, which tells
    /// the engines that nothing about them has changed.
    pub(super) async fn differing(&self, known: &Objects) -> Result<Option<Vec<Arc<Manifest>>>, Error> {
        let known: HashMap<_, _> = known
            .of(&self.resource.group, &self.resource.kind)
            .map(|object| ((object.key.namespace.as_str(), object.key.name.as_str()), object))
            .collect();
        let find = |namespace: &str, name: &str, wanted: &str| {
            let same = |object: &&&Arc<Manifest>| revision(&object.value) == Some(wanted);
            known.get(&(namespace, name)).filter(same).map(|object| Arc::clone(object))
        };
        let (mut all, mut others) = (Vec::with_capacity(self.heads.len()), Vec::new());
        for head in &self.heads {
            match find(&head.namespace, &head.name, &head.resource_version) {
                Some(object) => all.push(object),
                None => others.push(head),
            }
        }
        if others.is_empty() && all.len() == known.len() {
            return Ok(None);
        }
        if others.len() > FEW {
            let objects = self.fetch(ListParams::default()).await?;
            let kept = |object: Manifest| {
                let version = revision(&object.value).unwrap_or_default();
                find(&object.key.namespace, &object.key.name, version).unwrap_or_else(|| Arc::new(object))
            };
            return Ok(Some(objects.into_iter().map(kept).collect()));
        }
        let fetched =
            try_join_all(others.into_iter().map(|head| self.fetch(ListParams::default().fields(&head.fields()))));
        all.extend(fetched.await?.into_iter().flatten().map(Arc::new));
        Ok(Some(all))
    }

    /// Objects that are no older than the list.
    async fn fetch(&self, params: ListParams) -> Result<Vec<Manifest>, Error> {
        let params = match self.revision.as_str() {
            // Then as new as can be.
            "" => params,
            revision => params.at(revision).matching(VersionMatch::NotOlderThan),
        };
        let list = self.api.list(&params).await?;
        Ok(list.items.into_iter().map(|object| object.into_manifest(&self.resource)).collect())
    }
}

impl Head {
    /// A list of this object alone needs no permission that listing does not need.
    fn fields(&self) -> String {
        let name = format!("metadata.name={}", self.name);
        if self.namespace.is_empty() { name } else { format!("{name},metadata.namespace={}", self.namespace) }
    }
}
