//! Who may ask what: names under which the dashboard answers, sessions, and headers that tell a
//! browser what a page may do.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use axum::extract::{ConnectInfo, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Redirect, Response};

use crate::error::ApiError;
use crate::sessions::Token;
use crate::shared::Shared;

/// The header that a page must send along to change something.
pub(crate) const CSRF: &str = "x-aldis-csrf";
const FETCH_SITE: &str = "sec-fetch-site";

/// By which way a request came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Way {
    pub https: bool,
}

/// Who is signed in.
#[derive(Clone)]
pub(crate) struct Signed(pub Token);

impl Shared {
    /// The name of the cookie. Browsers do not tell ports apart: two hubs on one machine need two
    /// names.
    pub fn cookie_name(&self, way: Way) -> String {
        match self.https_port.filter(|_| way.https) {
            Some(port) => format!("__Host-aldis-{port}"),
            None => format!("aldis-{}", self.http_port),
        }
    }

    /// The session of a request, if it goes on.
    pub fn session(&self, headers: &HeaderMap, way: Way) -> Option<Token> {
        let name = self.cookie_name(way);
        let cookies = headers.get_all(header::COOKIE).iter();
        let pairs = cookies.filter_map(|cookies| cookies.to_str().ok());
        pairs
            .flat_map(|cookies| cookies.split(';'))
            .filter_map(|pair| pair.trim().split_once('='))
            .filter(|(cookie, _)| *cookie == name)
            .filter_map(|(_, value)| Token::read(value))
            .find(|token| self.is_signed_in(token))
    }

    pub fn is_signed_in(&self, token: &Token) -> bool {
        self.sessions()
            .is_signed_in(token, self.owner.mark(), self.now())
    }

    /// Whether a page may ask under this name. A name that anybody may point to this machine
    /// would let a stranger's page ask as if it were ours; an address in numbers cannot be one.
    fn answers_to(&self, host: &str) -> bool {
        let name = without_port(host).to_ascii_lowercase();
        let name = name.strip_suffix('.').unwrap_or(&name);
        let numbers = name.trim_start_matches('[').trim_end_matches(']');
        name == "localhost"
            || numbers.parse::<IpAddr>().is_ok()
            || self.hosts.iter().any(|known| known == name)
            || (self.names)(name)
    }
}

/// The name in `name:port`.
pub(crate) fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    }
}

fn is_safe(method: &Method) -> bool {
    matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS)
}

/// The name under which was asked.
fn host(request: &Request) -> Option<String> {
    match request.uri().authority() {
        Some(authority) => Some(authority.as_str().to_owned()),
        None => {
            let mut hosts = request.headers().get_all(header::HOST).iter();
            let host = hosts.next()?.to_str().ok()?;
            hosts.next().is_none().then(|| host.to_owned())
        }
    }
}

/// Lets in who asks under our name, from our pages.
pub(crate) async fn door(
    State(shared): State<Arc<Shared>>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    axum::Extension(way): axum::Extension<Way>,
    request: Request,
    next: Next,
) -> Response {
    let Some(host) = host(&request) else {
        return ApiError::new(
            StatusCode::BAD_REQUEST,
            "no_host",
            "The request does not say whom it asks (`Host`).",
        )
        .into_response();
    };
    if !shared.answers_to(&host) {
        return ApiError::new(
            StatusCode::MISDIRECTED_REQUEST,
            "unknown_host",
            "This hub does not answer to that name; use its address, `localhost`, or one of the \
             names that it prints at its start.",
        )
        .into_response();
    }
    if let Err(error) = same_site(&request, &host) {
        return error.into_response();
    }
    if let Some(moved) = over_https(
        shared.https_port.filter(|_| !way.https),
        peer,
        &host,
        request.uri(),
    ) {
        return moved;
    }
    next.run(request).await
}

/// A password does not cross the network in the clear where it need not: who comes from another
/// machine is sent to this port, if there is one.
fn over_https(port: Option<u16>, peer: SocketAddr, host: &str, uri: &Uri) -> Option<Response> {
    let port = port?;
    let path = uri.path();
    // What makes HTTPS possible has to be had without it.
    if peer.ip().to_canonical().is_loopback() || matches!(path, "/trust" | "/trust.css" | "/ca.pem")
    {
        return None;
    }
    if path.starts_with("/api/") {
        return Some(
            ApiError::new(
                StatusCode::FORBIDDEN,
                "https_only",
                format!("From another machine this hub is asked over HTTPS, on port {port}."),
            )
            .into_response(),
        );
    }
    let name = without_port(host);
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    Some(Redirect::temporary(&format!("https://{name}:{port}{path}")).into_response())
}

/// Another site's page has no business here.
fn same_site(request: &Request, host: &str) -> Result<(), ApiError> {
    let foreign = || {
        ApiError::new(
            StatusCode::FORBIDDEN,
            "cross_site",
            "The request comes from another site's page.",
        )
    };
    let safe = is_safe(request.method());
    if !request.uri().path().starts_with("/api/") && safe {
        return Ok(());
    }
    if let Some(site) = request.headers().get(FETCH_SITE) {
        let ours = match site.as_bytes() {
            b"same-origin" | b"none" => true,
            // Another port of this machine: it cannot read the answer.
            b"same-site" => safe,
            _ => false,
        };
        if !ours {
            return Err(foreign());
        }
    }
    if safe {
        return Ok(());
    }
    if let Some(origin) = request.headers().get(header::ORIGIN) {
        let origin = origin
            .to_str()
            .ok()
            .and_then(|origin| origin.split_once("://"));
        if !origin.is_some_and(|(_, authority)| authority.eq_ignore_ascii_case(host)) {
            return Err(foreign());
        }
    }
    Ok(())
}

/// Lets in who is signed in, and what was meant to change something.
pub(crate) async fn signed(
    State(shared): State<Arc<Shared>>,
    axum::Extension(way): axum::Extension<Way>,
    mut request: Request,
    next: Next,
) -> Response {
    let Some(token) = shared.session(request.headers(), way) else {
        return ApiError::not_signed_in().into_response();
    };
    if !is_safe(request.method()) && !has_csrf(request.headers(), &token) {
        return ApiError::new(
            StatusCode::FORBIDDEN,
            "csrf",
            "The header `X-Aldis-CSRF` with the session's `csrf` is missing or of another session.",
        )
        .into_response();
    }
    request.extensions_mut().insert(Signed(token));
    next.run(request).await
}

fn has_csrf(headers: &HeaderMap, token: &Token) -> bool {
    let given = headers.get(CSRF).map(HeaderValue::as_bytes);
    given.is_some_and(|given| token.has_csrf(given))
}

/// What a page may do: load from here, and nothing else.
const POLICY: &str = "default-src 'self'; script-src 'self'; style-src 'self'; img-src 'self' data:; \
    connect-src 'self'; manifest-src 'self'; worker-src 'self'; object-src 'none'; base-uri 'none'; \
    form-action 'self'; frame-ancestors 'none'";

/// Tells browsers what pages may do. No HSTS: it would hold for every port of the name, and for
/// as long as a phone remembers it, also when the certificate authority is gone.
pub(crate) async fn headers(request: Request, next: Next) -> Response {
    let path = request.uri().path();
    let api = path == "/api" || path.starts_with("/api/");
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    for (name, value) in [
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (header::REFERRER_POLICY, "no-referrer"),
        (
            HeaderName::from_static("permissions-policy"),
            "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
        ),
        (
            HeaderName::from_static("cross-origin-opener-policy"),
            "same-origin",
        ),
        (
            HeaderName::from_static("cross-origin-resource-policy"),
            "same-origin",
        ),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    if api && !headers.contains_key(header::CACHE_CONTROL) {
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    fn moved(port: Option<u16>, peer: &str, host: &str, path: &str) -> (u16, String) {
        let response = over_https(port, peer.parse().unwrap(), host, &path.parse().unwrap());
        let Some(response) = response else {
            return (200, String::new());
        };
        let to = response.headers().get(header::LOCATION);
        let to = to.map_or("", |to| to.to_str().unwrap());
        (response.status().as_u16(), to.to_owned())
    }

    /// The owner's password goes over the network in the clear; or nobody at the hub's own machine
    /// gets in, or no phone can fetch the certificate.
    #[test]
    fn other_machines_are_sent_to_https() {
        let other = "192.168.1.9:5000";
        let page = moved(Some(8443), other, "192.168.1.5:8080", "/device?x=1");
        assert_eq!(
            page,
            (307, "https://192.168.1.5:8443/device?x=1".to_owned())
        );
        let page = moved(Some(8443), other, "[fe80::1]", "/");
        assert_eq!(page, (307, "https://[fe80::1]:8443/".to_owned()));
        assert_eq!(moved(Some(8443), other, "hub.local", "/api/session").0, 403);
        for path in ["/trust", "/ca.pem", "/trust.css"] {
            assert_eq!(moved(Some(8443), other, "hub.local", path).0, 200, "{path}");
        }
        for own in ["127.0.0.1:5000", "[::1]:5000", "[::ffff:127.0.0.1]:5000"] {
            assert_eq!(
                moved(Some(8443), own, "localhost", "/api/session").0,
                200,
                "{own}"
            );
        }
        // Without HTTPS, or over it already, there is nowhere to send anybody.
        assert_eq!(moved(None, other, "hub.local", "/").0, 200);
    }
}
