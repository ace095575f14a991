//! How a review is answered.

use std::collections::BTreeMap;

use serde::Serialize;

/// Longest message of a denial, in bytes.
pub(crate) const MESSAGE: usize = 1024;
/// Most warnings. The API server drops what exceeds 4,096 characters together.
const WARNINGS: usize = 8;
/// Longest warning, in characters. The API server cuts at 256 (kubernetes/apiserver:pkg/endpoints/filters/warning.go).
const WARNING: usize = 256;

/// The answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answer {
    /// Why not; absent: allowed.
    pub denial: Option<Denial>,
    /// What the user is told besides, one line each.
    pub warnings: Vec<String>,
    /// What goes to the audit log. Keys are names of at most 63 characters.
    pub audit: BTreeMap<&'static str, String>,
}

/// Why a change is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Denial {
    /// What the user reads: the first line says what breaks, and where.
    pub message: String,
    /// Fields to blame.
    pub causes: Vec<Cause>,
}

/// A field to blame.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Cause {
    /// Code of the finding, such as `cuts-kubelet-api`.
    pub reason: String,
    /// What is wrong with it.
    pub message: String,
    /// Its path.
    pub field: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Review<'a> {
    api_version: &'static str,
    kind: &'static str,
    response: Response<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Response<'a> {
    uid: &'a str,
    allowed: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<Status<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    warnings: Vec<String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    audit_annotations: &'a BTreeMap<&'static str, String>,
}

#[derive(Serialize)]
struct Status<'a> {
    status: &'static str,
    message: String,
    reason: &'static str,
    code: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    details: Option<Details<'a>>,
}

#[derive(Serialize)]
struct Details<'a> {
    causes: &'a [Cause],
}

impl Answer {
    /// The body of the answer to the question with this uid.
    ///
    /// # Errors
    ///
    /// Never in practice: everything in it is text.
    pub fn write(&self, uid: &str) -> Result<Vec<u8>, serde_json::Error> {
        let status = self.denial.as_ref().map(|denial| Status {
            status: "Failure",
            message: lines(&denial.message, MESSAGE),
            // Anything below 400 would become 400 (kubernetes/apiserver:pkg/admission/plugin/webhook/errors).
            reason: "Forbidden",
            code: 403,
            details: (!denial.causes.is_empty()).then_some(Details { causes: &denial.causes }),
        });
        let mut warnings: Vec<String> = Vec::new();
        for warning in &self.warnings {
            // One with a control character would be dropped without a word.
            let warning: String = plain(warning, ' ').chars().take(WARNING).collect();
            if warnings.len() < WARNINGS && !warnings.contains(&warning) {
                warnings.push(warning);
            }
        }
        let response =
            Response { uid, allowed: self.denial.is_none(), status, warnings, audit_annotations: &self.audit };
        let review = Review { api_version: "admission.k8s.io/v1", kind: "AdmissionReview", response };
        serde_json::to_vec(&review)
    }
}

/// Text of several lines, without other control characters, cut at a character when it is too long.
fn lines(text: &str, most: usize) -> String {
    const CUT: &str = " ...";
    let clean: Vec<String> = text.lines().map(|line| plain(line, ' ')).collect();
    let clean = clean.join("\n");
    if clean.len() <= most {
        return clean;
    }
    let end = (0..=most - CUT.len()).rev().find(|at| clean.is_char_boundary(*at)).unwrap_or(0);
    clean[..end].to_owned() + CUT
}

/// Without control characters, and without those that turn the direction of text.
fn plain(text: &str, instead: char) -> String {
    let turns = |c: char| matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    text.chars().map(|c| if c.is_control() || turns(c) { instead } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn written(answer: &Answer) -> Value {
        serde_json::from_slice(&answer.write("u").expect("text")).expect("JSON")
    }

    fn denied(message: &str) -> Answer {
        Answer { denial: Some(Denial { message: message.to_owned(), causes: Vec::new() }), ..Answer::default() }
    }

    #[test]
    fn an_allowed_change_is_answered_in_few_words() {
        let expected = json!({
            "apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": {"uid": "u", "allowed": true}
        });
        assert_eq!(written(&Answer::default()), expected);
    }

    #[test]
    fn a_denial_is_forbidden_and_names_the_fields() {
        let cause = Cause { reason: "cuts-etcd-peer".into(), message: "closes".into(), field: "spec.ingress".into() };
        let mut answer = denied("etcd loses quorum\nTCP ...");
        answer.denial.as_mut().expect("denied").causes.push(cause);
        answer.audit.insert("verdict", "cuts".into());
        let response = &written(&answer)["response"];
        assert_eq!(response["allowed"], false);
        let status = json!({
            "status": "Failure", "reason": "Forbidden", "code": 403, "message": "etcd loses quorum\nTCP ...",
            "details": {"causes": [{"reason": "cuts-etcd-peer", "message": "closes", "field": "spec.ingress"}]},
        });
        assert_eq!(response["status"], status);
        assert_eq!(response["auditAnnotations"], json!({"verdict": "cuts"}));
    }

    #[test]
    fn no_message_can_forge_or_flood_a_terminal() {
        let message = |text: &str| written(&denied(text))["response"]["status"]["message"].clone();
        assert_eq!(message("a\u{1b}[2Jb\r\nc\td\u{202e}"), "a [2Jb\nc d ");
        let long = message(&"\u{e4}".repeat(2000));
        let long = long.as_str().expect("text");
        assert!(long.len() <= MESSAGE && long.len() > MESSAGE - 8 && long.ends_with("\u{e4} ..."));
    }

    #[test]
    fn warnings_survive_the_api_server() {
        let mut answer = Answer::default();
        answer.warnings.extend(["one\nline".to_owned(), "one line".to_owned(), "x".repeat(400)]);
        answer.warnings.extend((0..20).map(|at| format!("warning {at}")));
        let response = &written(&answer)["response"];
        let warnings: Vec<&str> =
            response["warnings"].as_array().expect("list").iter().filter_map(Value::as_str).collect();
        assert_eq!(warnings.len(), WARNINGS);
        assert_eq!((warnings[0], warnings[1].len(), warnings[2]), ("one line", WARNING, "warning 0"));
    }
}
