//! Who gets in, and who does not.

use std::io;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};

use tracing_subscriber::filter::LevelFilter;

use crate::rig::{PASSWORD, Rig};

/// An address that somebody forgot to lock.
#[tokio::test]
async fn everything_but_signing_in_needs_a_session_and_changes_need_its_token() {
    let rig = Rig::start().await;
    let stranger = rig.browser();
    let owner = rig.signed_in().await;
    let openapi = stranger.get("/api/openapi.json").await;
    assert_eq!(openapi.status, 200);
    let mut asked = 0;
    for (path, item) in openapi.json()["paths"].as_object().unwrap() {
        let path = path.replace("{key}", "aldis%2Fkitchen");
        for (method, operation) in item.as_object().unwrap() {
            let method = method.to_uppercase();
            let open = path == "/api/session" && method != "DELETE";
            assert_eq!(operation["security"].is_null(), open, "{method} {path}");
            if open {
                continue;
            }
            asked += 1;
            let answer = stranger.send(&method, &path, "{}").await;
            assert_eq!(
                (answer.status, answer.code().as_str()),
                (401, "not_signed_in"),
                "{method} {path}"
            );
            if method == "GET" {
                continue;
            }
            for headers in [
                &[("content-type", "application/json")][..],
                &[("x-aldis-csrf", ""), ("content-type", "application/json")],
                &[
                    ("x-aldis-csrf", "AAAA"),
                    ("content-type", "application/json"),
                ],
            ] {
                let answer = owner.ask(&method, &path, headers, "{}").await;
                assert_eq!(
                    (answer.status, answer.code().as_str()),
                    (403, "csrf"),
                    "{method} {path}"
                );
            }
        }
    }
    assert!(asked >= 20, "{asked}");
    // Nothing was done.
    assert_eq!(owner.get("/api/session").await.json()["signed_in"], true);
}

/// A cookie that scripts read or other sites send; a session that goes on after signing out.
#[tokio::test]
async fn signing_in_and_out() {
    let rig = Rig::start().await;
    let mut browser = rig.browser();
    let before = browser.get("/api/session").await;
    assert_eq!(
        (before.status, before.json()["signed_in"].clone()),
        (200, false.into())
    );
    assert!(before.json().get("csrf").is_none());
    assert_eq!(before.json()["name"], "tests' hub");
    assert_eq!(before.json()["loopback"], true);

    let wrong = browser.sign_in("wrong").await;
    assert_eq!(
        (wrong.status, wrong.code().as_str()),
        (401, "wrong_password")
    );
    assert!(wrong.header("set-cookie").is_none());
    let right = browser.sign_in(PASSWORD).await;
    let cookie = right.header("set-cookie").unwrap();
    for part in [
        "; HttpOnly",
        "; SameSite=Strict",
        "; Path=/",
        "; Max-Age=7776000",
    ] {
        assert!(cookie.contains(part), "{cookie}");
    }
    assert!(
        cookie.starts_with(&format!("aldis-{}=", browser.addr.port())),
        "{cookie}"
    );
    assert!(
        !right
            .text()
            .contains(cookie.split(['=', ';']).nth(1).unwrap())
    );

    // Signing in once more gives another session, and ends the one that may be known.
    let old = browser.clone();
    assert_eq!(browser.sign_in(PASSWORD).await.status, 200);
    assert_ne!(old.cookie, browser.cookie);
    assert_eq!(old.get("/api/devices").await.status, 401);
    // The token of one session is none of another's.
    let mut other = rig.browser();
    other.sign_in(PASSWORD).await;
    other.csrf.clone_from(&browser.csrf);
    assert_eq!(
        other.send("DELETE", "/api/session", "").await.code(),
        "csrf"
    );

    let mut events = browser.events("/api/live").await;
    events.wait("hello", |_| true).await;
    let out = browser.send("DELETE", "/api/session", "").await;
    assert_eq!(out.status, 204);
    assert!(out.header("set-cookie").unwrap().contains("Max-Age=0"));
    assert_eq!(browser.get("/api/devices").await.status, 401);
    // What was open ends with it.
    events.end().await;
}

/// A restart signs everybody out; a new password nobody.
#[tokio::test]
async fn sessions_outlive_the_hub_and_not_the_password() {
    let mut rig = Rig::start().await;
    let browser = rig.signed_in().await;
    rig.dashboard.take().unwrap().shutdown().await;
    rig.serve().await;
    // Another port is another name of the cookie.
    let port = rig.browser().addr.port();
    let value = browser.cookie.as_ref().unwrap().split_once('=').unwrap().1;
    let mut again = rig.browser();
    again.cookie = Some(format!("aldis-{port}={value}"));
    again.csrf.clone_from(&browser.csrf);
    assert_eq!(again.get("/api/devices").await.status, 200);
    assert_eq!(
        again.get("/api/session").await.json()["csrf"].as_str(),
        again.csrf.as_deref()
    );
    rig.owner.mark.store(2, Ordering::Relaxed);
    assert_eq!(again.get("/api/devices").await.status, 401);
}

/// Who signs in with a password that was found out, while it is changed, stays signed in.
#[tokio::test]
async fn a_password_that_changes_meanwhile_begins_no_session_of_the_new_one() {
    let rig = Rig::start().await;
    rig.owner.changes.store(true, Ordering::Relaxed);
    let mut browser = rig.browser();
    browser.sign_in(PASSWORD).await;
    assert_eq!(rig.owner.mark.load(Ordering::Relaxed), 2);
    assert_eq!(browser.get("/api/devices").await.status, 401);
    // With the one that is in force now it goes.
    assert_eq!(browser.sign_in(PASSWORD).await.status, 200);
    assert_eq!(browser.get("/api/devices").await.status, 200);
}

/// A program that guesses; or one that keeps the owner out by guessing.
#[tokio::test]
async fn guessing_is_slow_and_costs_nothing() {
    let rig = Rig::start().await;
    let mut browser = rig.browser();
    for _ in 0..5 {
        assert_eq!(browser.sign_in("guess").await.status, 401);
    }
    let asked = rig.owner.asked.load(Ordering::Relaxed);
    // Now even the right one is not looked at.
    for password in ["guess", PASSWORD] {
        let refused = browser.sign_in(password).await;
        assert_eq!(
            (refused.status, refused.code().as_str()),
            (429, "too_many_attempts")
        );
        assert_eq!(refused.header("retry-after"), Some("12"));
    }
    assert_eq!(rig.owner.asked.load(Ordering::Relaxed), asked);
    rig.advance(12_000);
    assert_eq!(browser.sign_in(PASSWORD).await.status, 200);
    // Who was right may mistype again.
    assert_eq!(browser.sign_in("guess").await.status, 401);
}

/// A damaged file of keys looks like a wrong password, or lets everybody in.
#[tokio::test]
async fn a_password_that_cannot_be_checked_lets_nobody_in() {
    let rig = Rig::start().await;
    rig.owner.broken.store(true, Ordering::Relaxed);
    let answer = rig.browser().sign_in(PASSWORD).await;
    assert_eq!(
        (answer.status, answer.code().as_str()),
        (503, "cannot_verify")
    );
    assert!(answer.text().contains("the file of keys is damaged"));
}

/// A page of a stranger whose name is pointed to this machine asks as if it were ours.
#[tokio::test]
async fn other_names_are_not_answered_to() {
    let rig = Rig::start().await;
    let mut browser = rig.signed_in().await;
    let port = browser.addr.port();
    for host in [
        "localhost",
        "hub.local",
        "HUB.local",
        "hub.local.",
        "127.0.0.1",
        "[::1]",
        "192.168.1.5",
        "10.1.2.3",
    ] {
        for host in [host.to_owned(), format!("{host}:{port}")] {
            browser.host = host;
            assert_eq!(
                browser.get("/api/devices").await.status,
                200,
                "{}",
                browser.host
            );
        }
    }
    for host in [
        "evil.example",
        "localhost.evil.example",
        "evil.local",
        "127.0.0.1.evil.example",
        "",
        "a b",
        "evil.example:127",
    ] {
        browser.host = host.to_owned();
        for path in ["/api/devices", "/api/session", "/", "/trust"] {
            let status = browser.get(path).await.status;
            assert!(status == 421 || status == 400, "{host} {path}: {status}");
        }
    }
    // A name that the machine gets while the dashboard runs, and loses again.
    for (names, status) in [(vec!["hub-2.local".to_owned()], 200), (Vec::new(), 421)] {
        *rig.names.lock().unwrap() = names;
        browser.host = "Hub-2.local:8443".to_owned();
        assert_eq!(browser.get("/api/devices").await.status, status);
    }
    // None, and two.
    let none = browser
        .raw(b"GET /api/session HTTP/1.1\r\nconnection: close\r\n\r\n")
        .await;
    assert_eq!(none.status, 400);
    let two =
        b"GET /api/session HTTP/1.1\r\nhost: localhost\r\nhost: evil\r\nconnection: close\r\n\r\n";
    assert_eq!(browser.raw(two).await.status, 400);
}

/// Another site's page, or another program's on this machine, does what the owner may.
#[tokio::test]
async fn other_sites_change_nothing() {
    let rig = Rig::start().await;
    let owner = rig.signed_in().await;
    let csrf = owner.csrf.clone().unwrap();
    let ours = format!("http://{}", owner.addr);
    let body = r#"{"topic":"t","payload":"x"}"#;
    let ask = async |extra: (&str, &str)| {
        let headers = [
            ("x-aldis-csrf", csrf.as_str()),
            ("content-type", "application/json"),
            extra,
        ];
        owner
            .ask("POST", "/api/publish", &headers, body)
            .await
            .status
    };
    assert_eq!(ask(("origin", &ours)).await, 202);
    for origin in [
        "null",
        "http://evil.example",
        "http://127.0.0.1:1",
        "http://localhost",
        "",
    ] {
        assert_eq!(ask(("origin", origin)).await, 403, "{origin}");
    }
    for (site, status) in [
        ("same-origin", 202),
        ("none", 202),
        ("same-site", 403),
        ("cross-site", 403),
        ("x", 403),
    ] {
        assert_eq!(ask(("sec-fetch-site", site)).await, status, "{site}");
    }
    // Signing in for somebody else is none of another site's business either.
    let headers = [
        ("content-type", "application/json"),
        ("sec-fetch-site", "cross-site"),
    ];
    let signing = format!(r#"{{"password":"{PASSWORD}"}}"#);
    let answer = rig
        .browser()
        .ask("POST", "/api/session", &headers, &signing)
        .await;
    assert_eq!((answer.status, answer.code().as_str()), (403, "cross_site"));
    let reading = owner
        .ask(
            "GET",
            "/api/devices",
            &[("sec-fetch-site", "cross-site")],
            "",
        )
        .await;
    assert_eq!(reading.status, 403);
    // Nobody is told that another site may read anything.
    let answer = owner
        .ask(
            "OPTIONS",
            "/api/devices",
            &[("origin", "http://evil.example")],
            "",
        )
        .await;
    assert!(answer.header("access-control-allow-origin").is_none());
}

/// A page that is framed, guessed at or kept by a proxy.
#[tokio::test]
async fn answers_tell_browsers_what_they_may() {
    let rig = Rig::start().await;
    let browser = rig.signed_in().await;
    for path in [
        "/",
        "/device/x",
        "/api/devices",
        "/api/nothing",
        "/trust",
        "/x.js",
        "/api/session",
    ] {
        let answer = browser.get(path).await;
        let policy = answer.header("content-security-policy").unwrap();
        assert!(
            policy.contains("frame-ancestors 'none'") && !policy.contains("unsafe"),
            "{path}"
        );
        assert_eq!(
            answer.header("x-content-type-options"),
            Some("nosniff"),
            "{path}"
        );
        assert_eq!(
            answer.header("referrer-policy"),
            Some("no-referrer"),
            "{path}"
        );
        if path.starts_with("/api") {
            assert_eq!(answer.header("cache-control"), Some("no-store"), "{path}");
            assert_eq!(
                answer.header("content-type"),
                Some("application/json"),
                "{path}"
            );
        }
    }
    // Of another name as well, before anything was looked at.
    let mut stranger = rig.browser();
    stranger.host = "evil.example".to_owned();
    assert!(
        stranger
            .get("/")
            .await
            .header("content-security-policy")
            .is_some()
    );
}

/// Everything that this thread logs.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Whoever reads the log is signed in.
#[tokio::test]
async fn secrets_are_in_no_log() {
    let log = Log::default();
    let written = log.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(LevelFilter::TRACE)
        .with_writer(move || written.clone())
        .finish();
    let _logging = tracing::subscriber::set_default(subscriber);
    let mut rig = Rig::prepare().await;
    rig.broker.username = Some("dashboard".to_owned());
    rig.broker.password = Some("hidden from all".to_owned());
    rig.serve().await;
    let mut browser = rig.browser();
    browser.sign_in("mistyped secret").await;
    assert_eq!(browser.sign_in(PASSWORD).await.status, 200);
    let mut events = browser.events("/api/live").await;
    events.wait("hello", |_| true).await;
    let health = browser.get("/api/health").await;
    assert!(
        !health.text().contains("hidden from all"),
        "{}",
        health.text()
    );
    browser.send("PATCH", "/api/devices/aldis%2Fx", "{").await;
    browser.send("DELETE", "/api/session", "").await;
    events.end().await;
    rig.dashboard.take().unwrap().shutdown().await;
    let log = String::from_utf8_lossy(&log.0.lock().unwrap()).into_owned();
    assert!(log.contains("with a wrong password"), "{log}");
    let id = browser.cookie.as_ref().unwrap().split_once('=').unwrap().1;
    for secret in [
        PASSWORD,
        "mistyped secret",
        "hidden from all",
        id,
        browser.csrf.as_deref().unwrap(),
    ] {
        assert!(!log.contains(secret), "{secret}");
    }
}
