//! What can go wrong, for whoever starts the dashboard and for whoever asks it.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

use aldis_history::HistoryError;
use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::openapi::{self, Content, RefOr, ResponseBuilder, ResponsesBuilder};
use utoipa::{IntoResponses, ToSchema};

/// Why the dashboard does not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DashboardError {
    /// An address cannot be listened on.
    #[error(
        "the dashboard cannot listen on {addr}: {source}; is another hub running, or is the \
         address not this machine's? Choose another one"
    )]
    Listen {
        /// The address.
        addr: SocketAddr,
        /// What the system says.
        source: io::Error,
    },
    /// Certificate or key cannot be used.
    #[error(
        "the certificate {} with the key {} cannot be used for HTTPS: {reason}", .cert.display(),
        .key.display()
    )]
    Tls {
        /// The certificate's file.
        cert: PathBuf,
        /// The key's file.
        key: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// A prefix of topics cannot be.
    #[error("the prefix `{prefix}` cannot be used: {reason}")]
    Prefix {
        /// The prefix.
        prefix: String,
        /// The rule that it breaks.
        reason: aldis_protocol::topic::InvalidName,
    },
    /// The client of the broker cannot be started.
    #[error("the dashboard's connection to the broker cannot be started: {0}")]
    Client(#[from] aldis_client::ClientError),
    /// The system gives no random numbers.
    #[error("this system gives no random numbers, and without them nobody can sign in safely")]
    Random,
}

/// An error as it is told: what is wrong in one word, and what to do.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ErrorBody {
    error: ErrorDetail,
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ErrorDetail {
    /// For programs.
    #[schema(example = "not_signed_in")]
    code: &'static str,
    /// For people.
    #[schema(example = "Sign in first.")]
    message: String,
}

/// For the description: what may be answered to a body that is to change something of a device.
pub(crate) struct Refusals;

impl IntoResponses for Refusals {
    fn responses() -> BTreeMap<String, RefOr<openapi::Response>> {
        let body = || Content::new(Some(openapi::Ref::from_schema_name("ErrorBody")));
        [400, 401, 403, 404, 408, 413, 415, 422, 503]
            .into_iter()
            .fold(ResponsesBuilder::new(), |refusals, status| {
                let refusal = ResponseBuilder::new().content("application/json", body());
                refusals.response(status.to_string(), refusal)
            })
            .build()
            .into()
    }
}

/// Why a request is not answered as it wished.
#[derive(Debug)]
pub(crate) struct ApiError {
    status: StatusCode,
    code: &'static str,
    message: String,
    retry_after_s: Option<u64>,
}

impl ApiError {
    pub fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self {
            status,
            code,
            message: message.into(),
            retry_after_s: None,
        }
    }

    /// When it can be tried again.
    pub fn again_after(mut self, seconds: u64) -> Self {
        self.retry_after_s = Some(seconds);
        self
    }

    /// What was sent breaks a rule.
    pub fn invalid(message: impl Into<String>) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid", message)
    }

    pub fn not_signed_in() -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "not_signed_in", "Sign in first.")
    }

    pub fn not_found() -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            "not_found",
            "There is nothing at this address.",
        )
    }

    pub fn no_device(key: &str) -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            "no_device",
            format!("No device {key} is known; see which there are."),
        )
    }

    pub fn no_broker(why: &str) -> Self {
        Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "broker_unavailable",
            format!("The broker cannot be reached ({why}); nothing was sent. Try again."),
        )
        .again_after(2)
    }
}

impl From<HistoryError> for ApiError {
    fn from(error: HistoryError) -> Self {
        match &error {
            HistoryError::NoDevice { device, .. } => Self::no_device(device),
            error if error.is_transient() => Self::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "store_unavailable",
                error.to_string(),
            )
            .again_after(2),
            error => {
                tracing::warn!("the dashboard cannot read what is kept: {error}");
                Self::new(
                    StatusCode::SERVICE_UNAVAILABLE,
                    "store_broken",
                    error.to_string(),
                )
                .again_after(30)
            }
        }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let body = ErrorBody {
            error: ErrorDetail {
                code: self.code,
                message: self.message,
            },
        };
        let mut response = (self.status, Json(body)).into_response();
        if let Some(seconds) = self.retry_after_s {
            response
                .headers_mut()
                .insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}
