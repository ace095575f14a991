//! What the API server asks. Objects stay raw: reading them twice would cost most of the time of a review.

use std::borrow::Cow;

use policy::snapshot::{Key, Manifest};
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

/// One question.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Request<'r> {
    /// What the answer must repeat.
    #[serde(borrow)]
    pub uid: Cow<'r, str>,
    /// Type of the objects.
    #[serde(borrow)]
    pub kind: GroupVersionKind<'r>,
    /// Part of the resource, such as `status`; empty for the whole.
    #[serde(borrow, default)]
    pub sub_resource: Cow<'r, str>,
    /// Name; empty where the API server is yet to make one, and for each object of a `deletecollection`.
    #[serde(borrow, default)]
    pub name: Cow<'r, str>,
    /// Namespace; empty for cluster-scoped objects.
    #[serde(borrow, default)]
    pub namespace: Cow<'r, str>,
    /// What is done.
    #[serde(borrow)]
    operation: Cow<'r, str>,
    /// Who does it.
    #[serde(borrow, default)]
    pub user_info: User<'r>,
    /// As it is to be; absent when it is deleted.
    #[serde(borrow, default)]
    object: Option<&'r RawValue>,
    /// As it is; absent when it is created.
    #[serde(borrow, default)]
    old_object: Option<&'r RawValue>,
    /// Whether nothing is going to be stored.
    #[serde(default)]
    pub dry_run: Option<bool>,
}

/// Type of an object.
#[derive(Debug, Deserialize)]
pub struct GroupVersionKind<'r> {
    /// API group; empty for the core group.
    #[serde(borrow)]
    pub group: Cow<'r, str>,
    /// Version.
    #[serde(borrow)]
    pub version: Cow<'r, str>,
    /// Kind.
    #[serde(borrow)]
    pub kind: Cow<'r, str>,
}

/// Who asks.
#[derive(Debug, Default, Deserialize)]
pub struct User<'r> {
    /// Name.
    #[serde(borrow, default)]
    pub username: Cow<'r, str>,
}

/// What is done with an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Operation {
    /// It is new.
    Create,
    /// It changes.
    Update,
    /// It goes.
    Delete,
}

impl Operation {
    /// As the API server writes it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Create => "CREATE",
            Self::Update => "UPDATE",
            Self::Delete => "DELETE",
        }
    }
}

/// Why a body is not a review that can be answered. The API server counts it as a failed call.
#[derive(Debug, thiserror::Error)]
pub enum Malformed {
    /// It is not the JSON of a review.
    #[error("the body is not an AdmissionReview: {0}")]
    Json(#[from] serde_json::Error),
    /// It is of another type.
    #[error("expected kind AdmissionReview of admission.k8s.io/v1, found {kind} of {version}")]
    Type {
        /// Its kind.
        kind: String,
        /// Its version.
        version: String,
    },
    /// It asks nothing.
    #[error("the AdmissionReview has no request")]
    Empty,
    /// The question has no identity.
    #[error("request.uid is empty")]
    Uid,
    /// It asks about something that is not guarded.
    #[error("request.operation is {0}; CREATE, UPDATE and DELETE are answered")]
    Operation(String),
    /// An object that the operation needs is not there.
    #[error("request.{field} is absent, which {operation} needs")]
    Object {
        /// Field.
        field: &'static str,
        /// Operation.
        operation: &'static str,
    },
    /// An object is not one.
    #[error("request.{field}: {reason}")]
    Content {
        /// Field.
        field: &'static str,
        /// What is wrong.
        reason: String,
    },
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Envelope<'r> {
    #[serde(borrow, default)]
    api_version: Cow<'r, str>,
    #[serde(borrow, default)]
    kind: Cow<'r, str>,
    #[serde(borrow, default)]
    request: Option<Request<'r>>,
}

impl<'r> Request<'r> {
    /// Reads the body of a review.
    ///
    /// # Errors
    ///
    /// It is no review, or lacks what an answer needs.
    pub fn read(body: &'r [u8]) -> Result<Self, Malformed> {
        let envelope: Envelope<'r> = serde_json::from_slice(body)?;
        if envelope.kind != "AdmissionReview" || envelope.api_version != "admission.k8s.io/v1" {
            let (kind, version) = (envelope.kind.into_owned(), envelope.api_version.into_owned());
            return Err(Malformed::Type { kind, version });
        }
        let request = envelope.request.ok_or(Malformed::Empty)?;
        if request.uid.is_empty() {
            return Err(Malformed::Uid);
        }
        Ok(request)
    }

    /// What is done.
    ///
    /// # Errors
    ///
    /// It is `CONNECT`, or nothing that Kubernetes knows.
    pub fn operation(&self) -> Result<Operation, Malformed> {
        match &*self.operation {
            "CREATE" => Ok(Operation::Create),
            "UPDATE" => Ok(Operation::Update),
            "DELETE" => Ok(Operation::Delete),
            other => Err(Malformed::Operation(other.chars().take(32).collect())),
        }
    }

    /// The object before and after.
    ///
    /// # Errors
    ///
    /// One that the operation needs is absent, or is not an object with a name.
    pub fn change(&self) -> Result<(Option<Manifest>, Option<Manifest>), Malformed> {
        let operation = self.operation()?;
        let need = |field, value: Option<&RawValue>| match value {
            Some(value) => self.manifest(field, value),
            None => Err(Malformed::Object { field, operation: operation.name() }),
        };
        Ok(match operation {
            Operation::Create => (None, Some(need("object", self.object)?)),
            Operation::Update => (Some(need("oldObject", self.old_object)?), Some(need("object", self.object)?)),
            Operation::Delete => (Some(need("oldObject", self.old_object)?), None),
        })
    }

    fn manifest(&self, field: &'static str, raw: &RawValue) -> Result<Manifest, Malformed> {
        let content = |reason: String| Malformed::Content { field, reason };
        let value: Value = serde_json::from_str(raw.get()).map_err(|error| content(error.to_string()))?;
        let metadata = &value["metadata"];
        let text = |name: &str| metadata[name].as_str().filter(|text| !text.is_empty());
        // Before the API server has made a name, the prefix stands for it: it sorts where the name is going to.
        let asked = || (!self.name.is_empty()).then_some(&*self.name);
        let name = text("name").or_else(|| text("generateName")).or_else(asked);
        let name = name.ok_or_else(|| content("metadata.name is absent".to_owned()))?.to_owned();
        let namespace = text("namespace").unwrap_or(&self.namespace).to_owned();
        let key = Key { group: self.kind.group.to_string(), kind: self.kind.kind.to_string(), namespace, name };
        Ok(Manifest { key, version: self.kind.version.to_string(), value, source: None })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn review(request: &str) -> String {
        format!(r#"{{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","request":{request}}}"#)
    }

    const KIND: &str = r#""kind":{"group":"projectcalico.org","version":"v3","kind":"Tier"}"#;

    #[test]
    fn the_objects_of_a_change_are_read() {
        let body = review(&format!(
            r#"{{"uid":"1",{KIND},"name":"a","operation":"UPDATE","userInfo":{{"username":"ann"}},"dryRun":true,
                "object":{{"metadata":{{"name":"a"}},"spec":{{"order":1}}}},"oldObject":{{"metadata":{{"name":"a"}}}}}}"#
        ));
        let request = Request::read(body.as_bytes()).expect("a review");
        assert_eq!((&*request.uid, &*request.user_info.username, request.dry_run), ("1", "ann", Some(true)));
        let (before, after) = request.change().expect("both");
        let (before, after) = (before.expect("before"), after.expect("after"));
        assert_eq!(before.key, after.key);
        assert_eq!(after.key.to_string(), "Tier/a");
        assert_eq!((after.version.as_str(), &after.value["spec"]["order"]), ("v3", &Value::from(1)));
    }

    #[test]
    fn a_deleted_object_is_the_old_one_whatever_the_request_calls_it() {
        let object = r#"{"metadata":{"name":"b"}}"#;
        let body = review(&format!(r#"{{"uid":"1",{KIND},"name":"","operation":"DELETE","oldObject":{object}}}"#));
        let (before, after) = Request::read(body.as_bytes()).expect("a review").change().expect("old");
        assert_eq!(before.expect("before").key.name, "b");
        assert_eq!(after, None);
    }

    #[test]
    fn an_object_without_a_name_yet_goes_by_its_prefix() {
        let object = r#"{"metadata":{"generateName":"deny-"}}"#;
        let body = review(&format!(r#"{{"uid":"1",{KIND},"operation":"CREATE","object":{object}}}"#));
        let (_, after) = Request::read(body.as_bytes()).expect("a review").change().expect("new");
        assert_eq!(after.expect("after").key.name, "deny-");
    }

    #[test]
    fn what_is_no_review_says_why() {
        let why = |body: &str| match Request::read(body.as_bytes()) {
            Err(error) => error.to_string(),
            Ok(request) => request.change().expect_err(body).to_string(),
        };
        assert!(why("{").starts_with("the body is not an AdmissionReview: EOF"));
        assert_eq!(why("{}"), "expected kind AdmissionReview of admission.k8s.io/v1, found  of ");
        let beta = r#"{"apiVersion":"admission.k8s.io/v1beta1","kind":"AdmissionReview"}"#;
        assert!(why(beta).ends_with("found AdmissionReview of admission.k8s.io/v1beta1"));
        assert_eq!(why(&review("null")), "the AdmissionReview has no request");
        assert_eq!(why(&review(&format!(r#"{{"uid":"",{KIND},"operation":"CREATE"}}"#))), "request.uid is empty");
        let connect = why(&review(&format!(r#"{{"uid":"1",{KIND},"operation":"CONNECT"}}"#)));
        assert_eq!(connect, "request.operation is CONNECT; CREATE, UPDATE and DELETE are answered");
        let absent = why(&review(&format!(r#"{{"uid":"1",{KIND},"operation":"DELETE"}}"#)));
        assert_eq!(absent, "request.oldObject is absent, which DELETE needs");
        let nameless = why(&review(&format!(r#"{{"uid":"1",{KIND},"operation":"CREATE","object":{{}}}}"#)));
        assert_eq!(nameless, "request.object: metadata.name is absent");
        let twice = why(&review(&format!(r#"{{"uid":"1","uid":"2",{KIND},"operation":"CREATE"}}"#)));
        assert!(twice.contains("duplicate field `uid`"), "{twice}");
        let deep =
            format!(r#"{{"uid":"1",{KIND},"operation":"CREATE","object":{}1{}}}"#, "[".repeat(500), "]".repeat(500));
        assert!(why(&review(&deep)).contains("recursion limit exceeded"));
    }
}
