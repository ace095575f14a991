//! Admission reviews: what the API server asks, and how it is answered
//! (kubernetes/apiserver:pkg/admission/plugin/webhook/request/admissionreview.go).

mod request;
mod response;

pub use request::{GroupVersionKind, Malformed, Operation, Request, User};
pub(crate) use response::MESSAGE;
pub use response::{Answer, Cause, Denial};
