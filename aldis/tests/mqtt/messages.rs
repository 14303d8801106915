//! What arrives, in both directions, and what it outlives.

use crate::common::{BOTH, Dir, Mosquitto, Tool, aldis, publish, run, start, utf8};

/// The payload of the next messages at `topic`, as mosquitto_sub gets them.
fn listener(broker: &Mosquitto, topic: &str, count: &str) -> crate::common::Running {
    let args = ["-t", topic, "-C", count, "-q", "2", "-N"];
    let sub = start(&mut Tool::Mosquitto.at("sub", broker.port, args), b"");
    broker.subscribed();
    sub
}

/// A byte changed or lost on the way makes a picture, or a firmware, useless.
#[test]
fn binary_payloads_pass_unharmed_both_ways() {
    let broker = Mosquitto::start();
    let dir = Dir::new();
    let bytes: Vec<u8> = (0..300_000u32).map(|i| (i * 7 % 256) as u8).collect();
    let file = dir.file("payload", &bytes);
    for qos in ["0", "1", "2"] {
        let heard = listener(&broker, "b", "2");
        let args = ["-t", "b", "-q", qos, "-f", utf8(&file)];
        assert_eq!(
            run(&mut Tool::Aldis.at("pub", broker.port, args)).code,
            Some(0)
        );
        let args = ["-t", "b", "-q", qos, "-s"];
        let from_stdin = start(&mut Tool::Aldis.at("pub", broker.port, args), &bytes);
        assert_eq!(from_stdin.done().code, Some(0));
        assert!(heard.done().out == bytes.repeat(2), "-q {qos}");

        let args = ["-t", "b", "-q", qos, "-C", "1", "-N"];
        let sub = start(&mut Tool::Aldis.at("sub", broker.port, args), b"");
        broker.subscribed();
        publish(broker.port, &["-t", "b", "-q", qos, "-f", utf8(&file)]);
        let done = sub.done();
        assert_eq!(done.code, Some(0));
        assert!(done.out == bytes, "-q {qos}");
    }
}

/// Lines lost, doubled, out of order or cut where a pipe hands them over.
#[test]
fn lines_are_published_one_by_one_in_their_order() {
    let broker = Mosquitto::start();
    let published = |tool: Tool, qos: &str, count: usize, input: &[u8]| {
        let args = [
            "-t",
            "l",
            "-F",
            "%l %p",
            "-C",
            &count.to_string(),
            "-q",
            qos,
        ];
        let sub = start(&mut Tool::Mosquitto.at("sub", broker.port, args), b"");
        broker.subscribed();
        let args = ["-t", "l", "-l", "-q", qos];
        let done = start(&mut tool.at("pub", broker.port, args), input).done();
        assert_eq!(done.code, Some(0), "{done:?}");
        sub.done().out
    };
    let plain: String = (0..500).map(|i| format!("{i}\n\n")).collect();
    // mosquitto_pub cuts a line at a null character and may lose a last one
    // that is long.
    let long = "x".repeat(100_000);
    let input = [b"\xff\x00\r\n" as &[u8], long.as_bytes()].concat();
    let expected = [b"3 \xff\x00\r\n100000 " as &[u8], long.as_bytes(), b"\n"].concat();
    for qos in ["0", "1", "2"] {
        let [ours, theirs] = BOTH.map(|tool| published(tool, qos, 1000, plain.as_bytes()));
        assert!(ours == theirs, "-q {qos}");
        assert!(
            published(Tool::Aldis, qos, 2, &input) == expected,
            "-q {qos}"
        );
    }
}

/// A retained message that does not stay, stays for ever, or cannot be told from
/// a new one.
#[test]
fn retained_messages_are_kept_told_apart_and_taken_back() {
    let broker = Mosquitto::start();
    for tool in BOTH {
        let sub = |args: &[&str]| run(tool.at("sub", broker.port, ["-t", "r/#"]).args(args));
        let done = run(&mut Tool::Aldis.at("pub", broker.port, ["-t", "r/a", "-m", "kept", "-r"]));
        assert_eq!(done.code, Some(0));
        let done = sub(&["-C", "1", "-F", "%r %t %p"]);
        assert_eq!((done.code, done.text()), (Some(0), "1 r/a kept\n"));
        let done = sub(&["-R", "-W", "1", "-v"]);
        assert_eq!(
            (done.code, done.text(), done.err.as_str()),
            (Some(27), "", "Timed out\n")
        );
        let done = sub(&["-T", "+/a", "-W", "1", "-v"]);
        assert_eq!((done.code, done.text()), (Some(27), ""));
        let only = start(
            tool.at("sub", broker.port, ["-t", "r/#"])
                .args(["--retained-only"]),
            b"",
        );
        broker.subscribed();
        assert_eq!(only.line("kept"), "kept\n");
        publish(broker.port, &["-t", "r/b", "-m", "new"]);
        let done = only.done();
        assert_eq!((done.code, done.text()), (Some(0), ""));
        let done = run(&mut Tool::Aldis.at("pub", broker.port, ["-t", "r/a", "-n", "-r"]));
        assert_eq!(done.code, Some(0));
        let done = sub(&["-W", "1", "-v"]);
        assert_eq!((done.code, done.text()), (Some(27), ""));
    }
}

/// An empty message is a line with -v, and nothing at all without.
#[test]
fn empty_messages_and_missing_line_ends_are_printed_alike() {
    for flags in [
        &["-v"][..],
        &["-v", "-N"],
        &[],
        &["-N"],
        &["-F", "[%p]"],
        &["-F", "[%p]", "-N"],
    ] {
        let [ours, theirs] = BOTH.map(|tool| {
            let broker = Mosquitto::start();
            let sub = start(
                tool.at("sub", broker.port, ["-t", "e", "-C", "3"])
                    .args(flags),
                b"",
            );
            broker.subscribed();
            publish(broker.port, &["-t", "e", "-m", "a"]);
            publish(broker.port, &["-t", "e", "-n"]);
            publish(broker.port, &["-t", "e", "-m", "b"]);
            sub.done().out
        });
        assert_eq!(ours, theirs, "{flags:?}");
    }
}

/// Whoever does not type -t and -m gets the same.
#[test]
fn topics_and_messages_may_stand_alone() {
    let broker = Mosquitto::start();
    let heard = listener(&broker, "p", "4");
    let url = format!("mqtt://127.0.0.1:{}", broker.port);
    let forms: [&[&str]; 4] = [
        &["-h", &url, "p", "1"],
        &["-h", &url, "-t", "p", "-2"],
        &["-h", &url, "p", "-m", "-x"],
        &["-L", &format!("{url}/p"), "-m", "4"],
    ];
    for args in forms {
        let done = run(aldis("pub").args(args));
        assert_eq!(done.code, Some(0), "{args:?} {done:?}");
    }
    assert_eq!(heard.done().text(), "1-2-x4");

    let mut sub = aldis("sub");
    sub.args([
        "-L",
        &format!("{url}/three"),
        "one",
        "two/+",
        "-v",
        "-C",
        "3",
    ]);
    let sub = start(&mut sub, b"");
    for _ in 0..3 {
        broker.subscribed();
    }
    for topic in ["one", "two/x", "three"] {
        publish(broker.port, &["-t", topic, "-m", "m"]);
    }
    assert_eq!(sub.done().text(), "one m\ntwo/x m\nthree m\n");
}

/// A broker that must be typed each time, and a password that all can see.
#[test]
fn the_environment_names_the_broker_and_flags_come_first() {
    let dir = Dir::new();
    let passwords = dir.path("passwords");
    let made = run(std::process::Command::new("mosquitto_passwd").args([
        "-c",
        "-b",
        utf8(&passwords),
        "me",
        "right",
    ]));
    assert_eq!(made.code, Some(0), "{made:?}");
    let file = dir.file("password", "right\n");
    let broker = Mosquitto::with(&format!("password_file {}", passwords.display()));
    let port = broker.port.to_string();
    let published = |settings: &[(&str, &str)], args: &[&str]| {
        let mut command = aldis("pub");
        for (name, value) in settings {
            command.env(format!("ALDIS_{name}"), value);
        }
        run(command.args(["-t", "t", "-m", "m"]).args(args)).code
    };
    let here = [("HOST", "127.0.0.1"), ("PORT", &port), ("USERNAME", "me")];
    let with = |more: &[(&'static str, &str)], args: &[&str]| {
        let settings: Vec<_> = here.iter().chain(more).copied().collect();
        published(&settings, args)
    };
    assert_eq!(with(&[("PASSWORD", "right")], &[]), Some(0));
    assert_eq!(with(&[("PASSWORD_FILE", utf8(&file))], &[]), Some(0));
    assert_eq!(with(&[], &["--password-file", utf8(&file)]), Some(0));
    assert_eq!(with(&[("PASSWORD", "wrong")], &["-P", "right"]), Some(0));
    assert_eq!(with(&[("PASSWORD", "right")], &["-P", "wrong"]), Some(5));
    assert_eq!(with(&[("PASSWORD", "wrong")], &[]), Some(5));
    assert_eq!(
        with(&[("PASSWORD", "right"), ("PORT", "nine")], &[]),
        Some(1)
    );
    let url = format!("mqtt://me:right@127.0.0.1:{port}");
    assert_eq!(published(&[("HOST", &url)], &[]), Some(0));
    assert_eq!(published(&[("PASSWORD", "wrong")], &["-h", &url]), Some(0));
}

/// A subscriber that a restart of the broker silences has lost contact.
#[test]
fn a_restarted_broker_is_found_again_by_sub() {
    for (version, qos) in [("311", "0"), ("5", "1")] {
        let broker = Mosquitto::start();
        let args = ["-t", "t", "-v", "-V", version, "-q", qos];
        let sub = start(&mut Tool::Aldis.at("sub", broker.port, args), b"");
        broker.subscribed();
        let port = broker.terminate();
        sub.error_line("Connection lost: ");
        let broker = Mosquitto::start_on(port);
        sub.error_line("Connected again");
        broker.subscribed();
        publish(port, &["-t", "t", "-m", "again"]);
        assert_eq!(sub.line("t "), "t again\n");
    }
}

/// What is read while the broker is away is not thrown away.
#[test]
fn lines_outlive_a_restart_of_the_broker() {
    use std::io::Write;
    use std::process::Stdio;

    let broker = Mosquitto::start();
    let heard = listener(&broker, "l", "1");
    let mut publisher = Tool::Aldis
        .at("pub", broker.port, ["-t", "l", "-l", "-q", "1", "-r", "-d"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut input = publisher.stdin.take().unwrap();
    input.write_all(b"before\n").unwrap();
    assert_eq!(heard.done().text(), "before");
    let port = broker.terminate();
    input.write_all(b"meanwhile\nlast\n").unwrap();
    drop(input);
    let _broker = Mosquitto::start_on(port);
    let done = publisher.wait_with_output().unwrap();
    assert_eq!(done.status.code(), Some(0));
    let trace = String::from_utf8(done.stdout).unwrap();
    assert!(trace.matches("received PUBACK").count() >= 3, "{trace}");
    let kept = run(&mut Tool::Mosquitto.at("sub", port, ["-t", "l", "-C", "1"]));
    assert_eq!(kept.text(), "last\n");
}

/// What nobody hears of: a client that was killed.
#[test]
fn the_will_is_published_when_it_is_killed_and_not_when_it_leaves() {
    let broker = Mosquitto::start();
    for (signal, expected) in [("KILL", "gone"), ("INT", "end")] {
        let heard = listener(&broker, "w", "1");
        let args = [
            "-t",
            "t",
            "--will-topic",
            "w",
            "--will-payload",
            "gone",
            "--will-qos",
            "1",
        ];
        let sub = start(&mut Tool::Aldis.at("sub", broker.port, args), b"");
        broker.subscribed();
        sub.signal(signal);
        let done = sub.done();
        if signal == "INT" {
            assert_eq!(done.code, Some(0), "{done:?}");
            publish(broker.port, &["-t", "w", "-m", "end"]);
        }
        assert_eq!(heard.done().text(), expected);
    }
}

/// A panic, or a message about a broken pipe, at the end of every `| head`.
#[test]
fn a_closed_pipe_ends_it_quietly() {
    use std::process::Stdio;

    let broker = Mosquitto::start();
    for debug in [false, true] {
        let mut command = Tool::Aldis.at("sub", broker.port, ["-t", "t"]);
        if debug {
            command.arg("-d");
        }
        let (reader, writer) = std::io::pipe().unwrap();
        let child = command
            .stdin(Stdio::null())
            .stdout(writer)
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // It keeps the other end of the pipe.
        drop(command);
        broker.subscribed();
        drop(reader);
        publish(broker.port, &["-t", "t", "-m", "m"]);
        let done = child.wait_with_output().unwrap();
        assert_eq!(done.status.code(), Some(0));
        assert_eq!(String::from_utf8(done.stderr).unwrap(), "");
    }
}

/// A message that is not sent because nobody reads the trace of it.
#[test]
fn a_closed_pipe_does_not_keep_a_message_from_being_published() {
    use std::process::Stdio;

    let broker = Mosquitto::start();
    let heard = listener(&broker, "t", "1");
    let mut command = Tool::Aldis.at("pub", broker.port, ["-t", "t", "-m", "m", "-q", "1", "-d"]);
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let child = command
        .stdout(writer)
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let done = child.wait_with_output().unwrap();
    assert_eq!(done.status.code(), Some(0));
    assert_eq!(String::from_utf8(done.stderr).unwrap(), "");
    assert_eq!(heard.done().text(), "m");
}

/// A terminal that does not come back, or a broker that publishes a will.
#[test]
fn ctrl_c_and_sigterm_leave_in_order() {
    for signal in ["INT", "TERM"] {
        let broker = Mosquitto::start();
        let sub = start(
            &mut Tool::Aldis.at("sub", broker.port, ["-t", "t", "-d"]),
            b"",
        );
        broker.subscribed();
        sub.line("Subscribed");
        sub.signal(signal);
        let done = sub.done();
        assert_eq!((done.code, done.err.as_str()), (Some(0), ""), "{done:?}");
        assert!(done.text().ends_with(" sending DISCONNECT\n"), "{done:?}");
    }
}

/// What comes while nobody listens is kept for a client that asked for it, and a
/// message that was counted does not come again.
#[test]
fn a_session_is_resumed_without_a_message_lost_or_doubled() {
    let broker = Mosquitto::start();
    for (version, qos) in [("311", "1"), ("311", "2"), ("5", "1"), ("5", "2")] {
        let id = format!("kept-{version}-{qos}");
        let args = ["-t", "s", "-c", "-i", &id, "-q", qos, "-V", version];
        let sub = |more: &[&str]| {
            let done = run(Tool::Aldis.at("sub", broker.port, args).args(more));
            assert_eq!(done.code, Some(0), "{done:?}");
            done.text().to_owned()
        };
        assert_eq!(sub(&["-E"]), "");
        for message in ["1", "2", "3"] {
            publish(broker.port, &["-t", "s", "-m", message, "-q", qos]);
        }
        assert_eq!(sub(&["-C", "1"]), "1\n", "-V {version} -q {qos}");
        assert_eq!(sub(&["-C", "2"]), "2\n3\n", "-V {version} -q {qos}");
    }
}

/// mosquitto sends its whole queue at once, whatever the receive maximum: what has no room would
/// be lost with a session that ends with the connection, and retained messages come for ever.
#[test]
fn a_burst_at_qos_2_arrives_whole_and_once() {
    let broker = Mosquitto::start();
    let lines: String = (0..900).map(|i| format!("line {i}\n")).collect();
    for version in ["5", "311"] {
        let args = ["-t", "b", "-q", "2", "-C", "900", "-V", version];
        let sub = start(&mut Tool::Aldis.at("sub", broker.port, args), b"");
        broker.subscribed();
        let args = ["-t", "b", "-q", "2", "-l"];
        let sent = start(
            &mut Tool::Mosquitto.at("pub", broker.port, args),
            lines.as_bytes(),
        );
        assert_eq!(sent.done().code, Some(0));
        let done = sub.done();
        assert_eq!((done.code, done.text()), (Some(0), &lines[..]), "{version}");
        assert_eq!(done.err, "", "a connection was lost");
    }
    for i in 0..120 {
        publish(
            broker.port,
            &["-t", &format!("r/{i}"), "-m", "x", "-r", "-q", "2"],
        );
    }
    for version in ["5", "311"] {
        let args = ["-t", "r/#", "-q", "2", "-C", "120", "-v", "-V", version];
        let done = run(&mut Tool::Aldis.at("sub", broker.port, args));
        let mut topics: Vec<_> = done.text().lines().collect();
        topics.sort_unstable();
        topics.dedup();
        assert_eq!((done.code, topics.len()), (Some(0), 120), "{version}");
    }
}

/// `failing-command | aldis pub -r -s` would delete what is retained.
#[test]
fn nothing_on_standard_input_is_not_an_empty_message() {
    let broker = Mosquitto::start();
    publish(broker.port, &["-t", "kept", "-m", "x", "-r", "-q", "1"]);
    let args = ["-t", "kept", "-r", "-q", "1", "-s"];
    for tool in [Tool::Aldis, Tool::Mosquitto] {
        let done = start(&mut tool.at("pub", broker.port, args), b"").done();
        assert_eq!(done.code, Some(1), "{tool:?}");
        assert!(!done.err.is_empty());
    }
    let args = ["-t", "kept", "-C", "1", "-W", "5"];
    let kept = run(&mut Tool::Aldis.at("sub", broker.port, args));
    assert_eq!((kept.code, kept.text()), (Some(0), "x\n"));
}

/// An empty message, such as the end of a retained one, is no broken JSON.
#[test]
fn an_empty_payload_is_null_in_json() {
    let broker = Mosquitto::start();
    for format in ["%j", "%J"] {
        let payload = |tool: Tool| {
            let args = ["-t", "e", "-C", "1", "-F", format];
            let sub = start(&mut tool.at("sub", broker.port, args), b"");
            broker.subscribed();
            publish(broker.port, &["-t", "e", "-n"]);
            let done = sub.done();
            assert_eq!(done.err, "");
            let (_, payload) = done.text().split_once("\"payloadlen\"").unwrap();
            payload.to_owned()
        };
        assert_eq!(payload(Tool::Aldis), payload(Tool::Mosquitto), "{format}");
    }
}
