//! The pages.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use rust_embed::{EmbeddedFile, RustEmbed};

use crate::error::ApiError;
use crate::shared::Shared;

/// What `web/` was built to, as far as it was. Files that are smaller packed are there twice, with
/// `.gz` behind the name.
#[derive(RustEmbed)]
#[folder = "$OUT_DIR/front"]
struct Built;

const INDEX: &str = "index.html";
/// What has a digest in its name never changes.
const FOR_EVER: &str = "public, max-age=31536000, immutable";
/// Everything else is asked for each time, and mostly has not changed.
const ASK_AGAIN: &str = "no-cache";

const MISSING: &str = include_str!("pages/missing.html");
const TRUST: &str = include_str!("pages/trust.html");
const STYLE: &str = include_str!("pages/plain.css");

/// Whether the front end was built in.
pub(crate) fn is_there() -> bool {
    Built::get(INDEX).is_some()
}

/// Gives a page's file, the page itself for addresses within it, or says that there is nothing.
pub(crate) async fn serve(request: Request) -> Response {
    let path = request.uri().path();
    if path == "/api" || path.starts_with("/api/") {
        return ApiError::not_found().into_response();
    }
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        let error = ApiError::new(
            StatusCode::METHOD_NOT_ALLOWED,
            "method_not_allowed",
            "Pages are only read.",
        );
        return ([(header::ALLOW, "GET, HEAD")], error).into_response();
    }
    let name = path.trim_start_matches('/');
    let headers = request.headers();
    if let Some(response) = file::<Built>(name, headers) {
        return response;
    }
    if name.contains('.') {
        return ApiError::not_found().into_response();
    }
    match file::<Built>(INDEX, headers) {
        Some(response) => response,
        None => page(StatusCode::SERVICE_UNAVAILABLE, MISSING),
    }
}

/// A file, packed if the browser takes it so, or only the word that it has not changed.
fn file<F: RustEmbed>(name: &str, headers: &HeaderMap) -> Option<Response> {
    // The packed ones have no address of their own.
    let plain = F::get(name).filter(|_| !name.ends_with(".gz"))?;
    let packed = takes_gzip(headers)
        .then(|| F::get(&format!("{name}.gz")))
        .flatten();
    let is_packed = packed.is_some();
    let kind = kind(name, &plain);
    let tag = tag(&plain, is_packed);
    let mut response = match headers.get(header::IF_NONE_MATCH) {
        Some(known) if is_among(known, &tag) => StatusCode::NOT_MODIFIED.into_response(),
        _ => body(packed.unwrap_or(plain).data).into_response(),
    };
    let out = response.headers_mut();
    out.insert(header::CONTENT_TYPE, kind);
    if let Ok(tag) = HeaderValue::try_from(tag) {
        out.insert(header::ETAG, tag);
    }
    out.insert(header::VARY, HeaderValue::from_static("accept-encoding"));
    let lasting = if name.starts_with("assets/") {
        FOR_EVER
    } else {
        ASK_AGAIN
    };
    out.insert(header::CACHE_CONTROL, HeaderValue::from_static(lasting));
    if is_packed {
        out.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    Some(response)
}

fn body(data: Cow<'static, [u8]>) -> Body {
    match data {
        Cow::Borrowed(data) => Body::from(data),
        Cow::Owned(data) => Body::from(data),
    }
}

fn kind(name: &str, file: &EmbeddedFile) -> HeaderValue {
    if name.ends_with(".webmanifest") {
        return HeaderValue::from_static("application/manifest+json");
    }
    let kind = file.metadata.mimetype();
    let charset = if kind.starts_with("text/") {
        "; charset=utf-8"
    } else {
        ""
    };
    HeaderValue::try_from(format!("{kind}{charset}"))
        .unwrap_or(HeaderValue::from_static("application/octet-stream"))
}

/// Names the content, in the form in which it is sent.
fn tag(file: &EmbeddedFile, packed: bool) -> String {
    let mut tag = String::from("\"");
    for byte in file.metadata.sha256_hash().iter().take(12) {
        let _ = write!(tag, "{byte:02x}");
    }
    tag.push_str(if packed { "-gz\"" } else { "\"" });
    tag
}

fn is_among(known: &HeaderValue, tag: &str) -> bool {
    let known = known.to_str().unwrap_or_default();
    let mut tags = known
        .split(',')
        .map(|known| known.trim().trim_start_matches("W/"));
    tags.any(|known| known == tag || known == "*")
}

fn takes_gzip(headers: &HeaderMap) -> bool {
    let accepted = headers.get_all(header::ACCEPT_ENCODING).iter();
    let codings = accepted.filter_map(|accepted| accepted.to_str().ok());
    codings
        .flat_map(|codings| codings.split(','))
        .any(|coding| {
            let mut parts = coding.split(';').map(str::trim);
            let is_gzip = parts
                .next()
                .is_some_and(|name| name.eq_ignore_ascii_case("gzip"));
            let refused = |part: &str| {
                let quality = part.strip_prefix("q=").and_then(|q| q.parse::<f32>().ok());
                quality.is_some_and(|quality| quality <= 0.0)
            };
            is_gzip && !parts.any(refused)
        })
}

fn page(status: StatusCode, text: &'static str) -> Response {
    let headers = [
        (header::CONTENT_TYPE, "text/html; charset=utf-8"),
        (header::CACHE_CONTROL, ASK_AGAIN),
    ];
    (status, headers, text).into_response()
}

/// The style of the pages that are there without the front end.
pub(crate) async fn style() -> Response {
    let headers = [
        (header::CONTENT_TYPE, "text/css; charset=utf-8"),
        (header::CACHE_CONTROL, ASK_AGAIN),
    ];
    (headers, STYLE).into_response()
}

/// How a phone learns to trust this hub.
pub(crate) async fn trust(State(shared): State<Arc<Shared>>) -> Response {
    match authority(&shared).await {
        Some(_) => page(StatusCode::OK, TRUST),
        None => no_authority().into_response(),
    }
}

/// The certificate of the authority, in the form that phones install.
pub(crate) async fn ca(State(shared): State<Arc<Shared>>) -> Response {
    let Some(pem) = authority(&shared).await else {
        return no_authority().into_response();
    };
    let headers = [
        (header::CONTENT_TYPE, "application/x-x509-ca-cert"),
        (
            header::CONTENT_DISPOSITION,
            "attachment; filename=\"aldis-ca.crt\"",
        ),
        (header::CACHE_CONTROL, ASK_AGAIN),
    ];
    (headers, pem).into_response()
}

/// Reads the certificate. What is no certificate, such as a key in the wrong place, is not given.
async fn authority(shared: &Shared) -> Option<String> {
    let path = shared.ca_pem.as_ref()?;
    let pem = tokio::task::spawn_blocking({
        let path = path.clone();
        move || std::fs::read_to_string(path)
    });
    let pem = pem.await.ok()?.ok()?;
    (pem.contains("BEGIN CERTIFICATE") && !pem.contains("PRIVATE KEY")).then_some(pem)
}

fn no_authority() -> ApiError {
    ApiError::new(
        StatusCode::NOT_FOUND,
        "no_authority",
        "This hub has no certificate authority of its own.",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A front end of two files, since the real one may not be built.
    struct Two;

    impl RustEmbed for Two {
        fn get(name: &str) -> Option<EmbeddedFile> {
            let data: &'static [u8] = match name {
                "assets/a.js" => b"let plain",
                "assets/a.js.gz" => b"packed",
                "sw.js" => b"let sw",
                "aldis.webmanifest" => b"{}",
                _ => return None,
            };
            let mut hash = [0; 32];
            hash[0] = u8::try_from(data.len()).unwrap();
            Some(EmbeddedFile {
                data: data.into(),
                metadata: rust_embed::Metadata::__rust_embed_new(
                    hash,
                    None,
                    None,
                    "text/javascript",
                ),
            })
        }

        fn iter() -> impl Iterator<Item = Cow<'static, str>> + 'static {
            std::iter::empty()
        }
    }

    fn get(name: &str, headers: &[(header::HeaderName, &str)]) -> Option<Response> {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.insert(name, HeaderValue::from_str(value).unwrap());
        }
        file::<Two>(name, &map)
    }

    fn header(response: &Response, name: header::HeaderName) -> &str {
        response
            .headers()
            .get(name)
            .map_or("", |value| value.to_str().unwrap())
    }

    /// A browser that cannot unpack gets what it cannot read, or an old script for a year.
    #[test]
    fn files_are_packed_for_who_takes_it_and_kept_as_long_as_they_last() {
        let plain = get("assets/a.js", &[]).unwrap();
        assert_eq!(header(&plain, header::CONTENT_ENCODING), "");
        assert_eq!(header(&plain, header::CACHE_CONTROL), FOR_EVER);
        assert_eq!(
            header(&plain, header::CONTENT_TYPE),
            "text/javascript; charset=utf-8"
        );
        let packed = get(
            "assets/a.js",
            &[(header::ACCEPT_ENCODING, "br, gzip;q=0.8")],
        )
        .unwrap();
        assert_eq!(header(&packed, header::CONTENT_ENCODING), "gzip");
        let (plain_tag, packed_tag) = (header(&plain, header::ETAG), header(&packed, header::ETAG));
        assert_ne!(plain_tag, packed_tag);
        for refused in ["gzip;q=0", "br", "x-gzip"] {
            let plain = get("assets/a.js", &[(header::ACCEPT_ENCODING, refused)]).unwrap();
            assert_eq!(header(&plain, header::CONTENT_ENCODING), "", "{refused}");
        }
        // A packed file is none where there is no plain one beside it, and has no address.
        assert!(get("assets/a.js.gz", &[]).is_none());
        let worker = get("sw.js", &[(header::ACCEPT_ENCODING, "gzip")]).unwrap();
        assert_eq!(header(&worker, header::CACHE_CONTROL), ASK_AGAIN);
        assert_eq!(header(&worker, header::CONTENT_ENCODING), "");
        let manifest = get("aldis.webmanifest", &[]).unwrap();
        assert_eq!(
            header(&manifest, header::CONTENT_TYPE),
            "application/manifest+json"
        );
    }

    /// Each visit loads everything anew, or a new version is never seen.
    #[test]
    fn what_has_not_changed_is_not_sent() {
        let tag = header(&get("sw.js", &[]).unwrap(), header::ETAG).to_owned();
        for known in [tag.clone(), format!("\"x\", W/{tag}"), "*".to_owned()] {
            let again = get("sw.js", &[(header::IF_NONE_MATCH, &known)]).unwrap();
            assert_eq!(again.status(), StatusCode::NOT_MODIFIED, "{known}");
        }
        let other = get("sw.js", &[(header::IF_NONE_MATCH, "\"x\"")]).unwrap();
        assert_eq!(other.status(), StatusCode::OK);
    }
}
