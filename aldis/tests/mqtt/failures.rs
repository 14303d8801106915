//! Exit codes, and what is said to who must do something about it.

use std::net::TcpListener;

use crate::common::{BOTH, Dir, Mosquitto, Tool, free_port, publish, run, server, utf8};

/// A script that looks at the exit code takes one failure for another.
#[test]
fn a_wrong_password_has_mosquittos_exit_code() {
    let dir = Dir::new();
    let passwords = dir.file("passwords", "");
    let broker = Mosquitto::with(&format!("password_file {}", passwords.display()));
    for verb in ["sub", "pub"] {
        let wrong = |tool: Tool, version: &[&str]| {
            let mut args = vec!["-t", "t", "-u", "me", "-P", "wrong"];
            if verb == "pub" {
                args.extend(["-m", "m"]);
            }
            run(tool.at(verb, broker.port, args).args(version))
        };
        for (version, code) in [(&["-V", "311"][..], 5), (&["-V", "mqttv5"], 135), (&[], 5)] {
            for tool in BOTH {
                let done = wrong(tool, version);
                assert_eq!(done.code, Some(code), "{tool:?} {done:?}");
            }
        }
        let done = wrong(Tool::Aldis, &[]);
        assert!(
            done.err.contains("check the user name and the password"),
            "{done:?}"
        );
        assert_eq!(wrong(Tool::Aldis, &["--quiet"]).err, "");
    }
}

/// It would try for ever, or not say what to do.
#[test]
fn a_broker_that_is_not_there_ends_it_at_once() {
    let port = free_port();
    for verb in ["sub", "pub"] {
        for tool in BOTH {
            let mut args = vec!["-t", "t"];
            if verb == "pub" {
                args.extend(["-m", "m"]);
            }
            let done = run(&mut tool.at(verb, port, &args));
            assert_eq!(done.code, Some(1), "{done:?}");
            assert!(
                done.err.starts_with("Error: Connection refused"),
                "{done:?}"
            );
            let done = run(tool.bare(verb).args(["-h", "nowhere.invalid"]).args(&args));
            assert_eq!(done.code, Some(1), "{done:?}");
            if tool == Tool::Aldis {
                assert!(done.err.contains("spelling of nowhere.invalid"), "{done:?}");
            }
        }
    }
}

/// mosquitto's code for it: 2 would be taken for a refused client id.
#[test]
fn usage_errors_have_mosquittos_exit_code() {
    let cases: &[(&str, &[&str])] = &[
        ("sub", &["-t", "t", "-q", "3"]),
        ("sub", &["-t", "a/#/b"]),
        ("sub", &["-t", "a", "-T", "x+"]),
        ("sub", &[]),
        ("sub", &["-t", "t", "-V", "4.5"]),
        ("sub", &["-t", "t", "-C", "0"]),
        ("sub", &["-t", "t", "-W", "0"]),
        ("sub", &["-t", "t", "-k", "4"]),
        ("sub", &["-t", "t", "-c"]),
        ("sub", &["-t", "t", "-p", "0"]),
        ("sub", &["-t", "t", "--no-such-flag"]),
        ("sub", &["-t", "t", "--will-topic", "a/+"]),
        ("sub", &["-t", "t", "--will-payload", "x"]),
        ("pub", &["-t", "t"]),
        ("pub", &["-m", "m"]),
        ("pub", &["-t", "a/#", "-m", "m"]),
        ("pub", &["-t", "t", "-m", "m", "-n"]),
        ("pub", &["-t", "t", "-m", "m", "-q", "x"]),
        ("pub", &["-t", "t", "-f", "/no/such/file"]),
        ("pub", &["-t", "t", "-m", "m", "--repeat", "0"]),
    ];
    for (verb, args) in cases {
        for tool in BOTH {
            let done = run(tool.bare(verb).args(*args));
            assert_eq!(done.code, Some(1), "{tool:?} {verb} {args:?} {done:?}");
            assert!(!done.err.is_empty(), "{tool:?} {verb} {args:?}");
        }
    }
}

/// mosquitto_pub says 0 here: the lamp stays dark and the script is content.
#[test]
fn a_publication_that_the_rules_forbid_fails() {
    let dir = Dir::new();
    let rules = dir.file("rules", "topic readwrite allowed\n");
    let broker = Mosquitto::with(&format!(
        "allow_anonymous true\nacl_file {}",
        rules.display()
    ));
    for qos in ["1", "2"] {
        for version in [&["-V", "5"][..], &[]] {
            let publish = |topic: &str| {
                let args = ["-t", topic, "-m", "m", "-q", qos];
                run(Tool::Aldis.at("pub", broker.port, args).args(version))
            };
            let done = publish("forbidden");
            assert_eq!(done.code, Some(135), "{done:?}");
            assert!(
                done.err
                    .starts_with("Warning: Publish 1 failed: Not authorized."),
                "{done:?}"
            );
            assert_eq!(publish("allowed").code, Some(0));
        }
    }
}

/// Waiting for ever for what will never come.
#[test]
fn subscriptions_that_are_all_denied_fail() {
    const PLUGIN: &str = "/usr/lib/x86_64-linux-gnu/mosquitto_dynamic_security.so";
    let dir = Dir::new();
    let rules = dir.file(
        "rules.json",
        r#"{"defaultACLAccess":{"publishClientSend":true,"publishClientReceive":true,
            "subscribe":false,"unsubscribe":true},
            "roles":[{"rolename":"r","acls":[{"acltype":"subscribePattern","topic":"ok/#",
            "priority":0,"allow":true}]}],
            "groups":[{"groupname":"anonymous","roles":[{"rolename":"r"}]}],
            "anonymousGroup":"anonymous"}"#,
    );
    let plugin = std::fs::read_dir("/usr/lib")
        .unwrap()
        .filter_map(Result::ok)
        .map(|entry| entry.path().join("mosquitto_dynamic_security.so"))
        .find(|path| path.exists())
        .unwrap_or_else(|| PLUGIN.into());
    let broker = Mosquitto::with(&format!(
        "allow_anonymous true\nplugin {}\nplugin_opt_config_file {}",
        plugin.display(),
        utf8(&rules)
    ));
    for (version, code) in [("311", 128), ("5", 135)] {
        let args = ["-t", "no", "-t", "never", "-V", version];
        let done = run(&mut Tool::Aldis.at("sub", broker.port, args));
        assert_eq!(done.code, Some(code), "{done:?}");
        assert!(
            done.err.contains("All subscription requests were denied."),
            "{done:?}"
        );

        let args = ["-t", "no", "-t", "ok/a", "-V", version, "-E"];
        let done = run(&mut Tool::Aldis.at("sub", broker.port, args));
        assert_eq!(done.code, Some(0), "{done:?}");
        assert!(
            done.err.contains("Subscription to 'no' was denied"),
            "{done:?}"
        );
    }
}

/// The level of the protocol in a CONNECT.
fn level(connect: &[u8]) -> u8 {
    connect[8]
}

/// An old broker would be out of reach for who does not know of versions.
#[test]
fn a_broker_that_speaks_only_3_1_1_is_spoken_to_in_it() {
    for refusal in [Some(vec![0x20, 2, 0, 1]), None] {
        let port = server(move |connect| match level(connect) {
            4 => Some(vec![0x20, 2, 0, 0]),
            _ => refusal.clone(),
        });
        let publish = |version: &[&str]| {
            run(Tool::Aldis
                .at("pub", port, ["-t", "t", "-m", "m"])
                .args(version))
        };
        assert_eq!(publish(&[]).code, Some(0));
        assert_ne!(publish(&["-V", "5"]).code, Some(0));
    }
}

/// Each refusal has the exit code that mosquitto's tools have for it.
#[test]
fn every_refusal_has_mosquittos_exit_code_and_advice() {
    for code in 1..=5u8 {
        let port = server(move |_| Some(vec![0x20, 2, 0, code]));
        for tool in BOTH {
            let args = ["-t", "t", "-m", "m", "-V", "311"];
            let done = run(&mut tool.at("pub", port, args));
            assert_eq!(done.code, Some(code.into()), "{tool:?} {done:?}");
        }
    }
}

/// A web server's port, or one that wants TLS, is told as that.
#[test]
fn what_is_no_broker_is_told_as_that() {
    let port = server(|_| None);
    let done = run(&mut Tool::Aldis.at("sub", port, ["-t", "t"]));
    assert_eq!(done.code, Some(1), "{done:?}");
    assert!(done.err.contains("whether it wants TLS"), "{done:?}");
}

/// A broker that accepts and says nothing would hold a script for ever.
#[test]
fn a_silent_broker_can_be_bounded() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    for verb in ["sub", "pub"] {
        let mut command = Tool::Aldis.at(verb, port, ["-t", "t", "-W", "1"]);
        if verb == "pub" {
            command.args(["-m", "m"]);
        }
        let done = run(&mut command);
        assert_eq!(done.code, Some(27), "{done:?}");
        assert!(done.err.contains("Timed out"), "{done:?}");
    }
}

/// A subscriber that was to run for a while would look as if it had failed.
#[test]
fn the_time_it_was_to_run_is_no_time_out() {
    let broker = Mosquitto::start();
    let done = run(&mut Tool::Aldis.at("sub", broker.port, ["-t", "t", "--for", "300ms"]));
    assert_eq!((done.code, done.err.as_str()), (Some(0), ""), "{done:?}");
}

/// The time is counted whatever comes, and the count whatever the time.
#[test]
fn count_and_time_end_it_whichever_comes_first() {
    let broker = Mosquitto::start();
    publish(broker.port, &["-t", "t", "-m", "m", "-r"]);
    for tool in BOTH {
        let sub = |args: &[&str]| run(tool.at("sub", broker.port, ["-t", "t"]).args(args));
        assert_eq!(sub(&["-C", "1", "-W", "30"]).code, Some(0));
        let done = sub(&["-C", "2", "-W", "1"]);
        assert_eq!((done.code, done.text()), (Some(27), "m\n"));
    }
}

/// A broker of MQTT 3.1.1 closes the connection where a message is too large for it, each time
/// anew: a program that goes on trying never ends.
#[test]
fn a_message_that_the_broker_never_takes_is_given_up() {
    let broker = Mosquitto::with("allow_anonymous true\nmax_packet_size 5000\n");
    let dir = Dir::new();
    let file = dir.file("large", vec![b'x'; 10_000]);
    for qos in ["1", "2"] {
        let args = ["-V", "311", "-t", "t", "-q", qos, "-f", utf8(&file)];
        let done = run(&mut Tool::Aldis.at("pub", broker.port, args));
        assert_eq!(done.code, Some(7), "-q {qos}: {done:?}");
        assert!(done.err.contains("10000 bytes"), "-q {qos}: {done:?}");
    }
    let args = ["-V", "5", "-t", "t", "-q", "1", "-f", utf8(&file)];
    let done = run(&mut Tool::Aldis.at("pub", broker.port, args));
    assert_eq!(done.code, Some(1), "{done:?}");
}
