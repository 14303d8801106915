//! The generic driver on a scripted connection and virtual time.

mod rig;

use aldis_mqtt::{
    Backoff, Buffers, Instant, Network, Options, Publication, QoS, Session, SubscribeOptions,
    Timeouts, Version, Versions,
};
use aldis_world::broker::Message;
use aldis_world::broker::codec::Qos;
use embedded_io_async::ErrorKind;
use rig::{Net, Opening, Shared, TestLink, link, poll_next, poll_still, tell, until};

/// How long an answer is waited for, and a write.
const ANSWER_MS: u64 = 5_000;

/// When a broker is given up, from its last answer on: one and a half keep-alives.
const GIVEN_UP_MS: u64 = 22_500;

fn options() -> Options<'static> {
    Options {
        versions: Versions::Only(Version::V5),
        timeouts: Timeouts {
            connect_ms: 4_000,
            answer_ms: ANSWER_MS as u32,
        },
        backoff: Backoff {
            base_ms: 100,
            cap_ms: 1_000,
            ..Backoff::default()
        },
        ..Options::new("c")
    }
}

fn session() -> Session<'static> {
    let buffers = Buffers::new(
        vec![0; 512].leak(),
        vec![0; 2_048].leak(),
        vec![aldis_mqtt::Slot::EMPTY; 64].leak(),
    );
    Session::new(options(), buffers, 1, Instant::from_millis(0)).unwrap()
}

/// A link whose broker has accepted it.
fn connected<const BUFFERED: bool>() -> (TestLink<BUFFERED>, Shared) {
    let net = Net::new();
    let mut link = link(&net, session());
    until(&mut link, &net, "connected false");
    (link, net)
}

fn publish<const BUFFERED: bool>(link: &mut TestLink<BUFFERED>, payload: &[u8], qos: QoS) {
    let (session, now) = link.parts();
    session
        .publish(&Publication::new("out", payload).qos(qos), now)
        .unwrap();
}

fn subscribe<const BUFFERED: bool>(link: &mut TestLink<BUFFERED>) {
    let options = SubscribeOptions {
        qos: QoS::ExactlyOnce,
        ..Default::default()
    };
    link.session().subscribe("in", options, None).unwrap();
}

fn send(net: &Shared, payload: &[u8], qos: Qos) {
    let net = &mut *net.borrow_mut();
    net.broker
        .publish(Message::new("in", payload, qos), net.now);
}

/// Waiting for a write that never ends would hide messages and stop the clock.
#[test]
fn a_stalled_write_stops_neither_reading_nor_the_clock() {
    let (mut link, net) = connected::<false>();
    subscribe(&mut link);
    until(&mut link, &net, "subscribed in");
    net.borrow_mut().stalled = true;
    publish(&mut link, b"stuck", QoS::AtLeastOnce);
    let start = net.borrow().now;
    send(&net, b"heard", Qos::AtMostOnce);
    until(&mut link, &net, "in heard");
    assert_eq!(net.borrow().now, start);
    until(&mut link, &net, "disconnected Stalled");
    assert_eq!(net.borrow().now, start + ANSWER_MS);
    net.borrow_mut().stalled = false;
    until(&mut link, &net, "delivered");
}

/// Bytes that stay behind a flush are not sent either: the bound on writing is theirs too.
#[test]
fn a_stalled_flush_is_noticed_as_a_stalled_write_is() {
    let (mut link, net) = connected::<true>();
    publish(&mut link, b"stuck", QoS::AtMostOnce);
    net.borrow_mut().flush_stalled = true;
    let start = net.borrow().now;
    until(&mut link, &net, "disconnected Stalled");
    assert_eq!(net.borrow().now, start + ANSWER_MS);
}

/// A broker that never stops sending would keep the device from saying anything.
#[test]
fn endless_input_does_not_starve_output() {
    let (mut link, net) = connected::<false>();
    // QoS 0 to "in": nothing has to be answered.
    net.borrow_mut().firehose = vec![0x30, 6, 0, 2, b'i', b'n', 0, b'x'];
    net.borrow_mut().grain = 8;
    for _ in 0..10 {
        publish(&mut link, b"said", QoS::AtMostOnce);
    }
    let reads = net.borrow().reads;
    for _ in 0..40 {
        poll_next(&mut link, &net, 10, tell).unwrap();
    }
    assert_eq!(net.borrow().broker.log().len(), 10);
    assert!(net.borrow().reads - reads <= 40);
}

/// A device that always has something to say would never listen.
#[test]
fn endless_output_does_not_starve_input() {
    let (mut link, net) = connected::<false>();
    subscribe(&mut link);
    until(&mut link, &net, "subscribed in");
    net.borrow_mut().grain = 4;
    for _ in 0..30 {
        publish(&mut link, b"a long thing to say", QoS::AtMostOnce);
    }
    send(&net, b"heard", Qos::AtMostOnce);
    let writes = net.borrow().writes;
    until(&mut link, &net, "in heard");
    assert!(net.borrow().writes - writes <= 6, "it had to wait");
}

/// A conversation with everything in it; `drops` says after how many polls
/// each call of `next` is dropped, or that none is.
fn conversation<const BUFFERED: bool>(
    grain: usize,
    gather: usize,
    mut drops: impl FnMut(u32) -> u32,
) -> (Vec<String>, u32) {
    let net = Net::new();
    net.borrow_mut().hesitant = true;
    net.borrow_mut().grain = grain;
    net.borrow_mut().openings.push_back(Opening::After(3));
    let mut link = link::<BUFFERED>(&net, session()).gather(vec![0; gather].leak());
    subscribe(&mut link);
    let (mut told, mut polls, mut said, mut rounds) = (Vec::new(), 0, false, 0);
    while told.len() < 10 || link.session().pending() > 0 {
        rounds += 1;
        assert!(rounds < 20_000, "stuck after {told:?}");
        let many = drops(polls);
        let text = poll_next(&mut link, &net, many, tell);
        polls += many;
        let Some((text, token)) = text else { continue };
        if let Some(token) = token {
            link.session().acknowledge(token);
        }
        let subscribed = text == "subscribed in";
        told.push(text);
        if subscribed && !said {
            said = true;
            publish(&mut link, b"0", QoS::AtMostOnce);
            publish(&mut link, b"1", QoS::AtLeastOnce);
            publish(&mut link, b"2", QoS::ExactlyOnce);
            send(&net, b"zero", Qos::AtMostOnce);
            send(&net, b"one", Qos::AtLeastOnce);
            send(&net, b"two", Qos::ExactlyOnce);
            send(&net, b"three", Qos::ExactlyOnce);
            send(&net, b"four", Qos::AtLeastOnce);
            send(&net, b"five", Qos::AtMostOnce);
        }
    }
    // Nothing is left: neither unsaid nor said twice.
    link.session().stop(Instant::from_millis(net.borrow().now));
    told.extend(until(&mut link, &net, "disconnected Stopped"));
    let net = net.borrow();
    let accepted: Vec<_> = net.broker.log().iter().map(|a| a.payload.clone()).collect();
    assert_eq!(accepted, [b"0", b"1", b"2"]);
    let view = net.broker.session("c").unwrap();
    assert_eq!((view.in_flight, view.queued, view.incoming), (0, 0, 0));
    assert_eq!((net.opened, net.closed), (1, 1));
    told.sort();
    (told, polls)
}

fn dropped_everywhere<const BUFFERED: bool>(gather: usize) {
    for grain in [1, 7, usize::MAX] {
        let (want, _) = conversation::<BUFFERED>(grain, gather, |_| 100_000);
        // Every call, after the same number of polls.
        for polls in 1..40 {
            let (told, _) = conversation::<BUFFERED>(grain, gather, |_| polls);
            assert_eq!(told, want, "polled {polls} times each");
        }
        let (_, all) = conversation::<BUFFERED>(grain, gather, |_| 1);
        // One call, at each point of the conversation.
        for at in 1..all {
            let (told, _) = conversation::<BUFFERED>(grain, gather, |polls| {
                if polls < at { at - polls } else { 100_000 }
            });
            assert_eq!(told, want, "dropped at poll {at}");
        }
    }
}

/// A byte that was taken but not counted, or counted but not taken, would be
/// lost or doubled when the future is dropped just there.
#[test]
fn dropping_next_anywhere_loses_nothing() {
    dropped_everywhere::<false>(0);
}

/// The same where written bytes wait for a flush.
#[test]
fn dropping_next_anywhere_loses_nothing_behind_a_flush() {
    dropped_everywhere::<true>(0);
}

/// The same where packets are gathered: some fit together, some do not fit at all.
#[test]
fn dropping_next_anywhere_loses_nothing_that_was_gathered() {
    dropped_everywhere::<false>(64);
    dropped_everywhere::<false>(12);
    dropped_everywhere::<true>(64);
}

/// A link that has accepted a connection and gathers so many bytes.
fn gathering(bytes: usize) -> (TestLink<false>, Shared) {
    let (link, net) = connected::<false>();
    (link.gather(vec![0; bytes].leak()), net)
}

/// Packet by packet, a backlog costs a segment and a call of the system each.
#[test]
fn what_can_go_out_together_is_written_together() {
    let (mut link, net) = gathering(1_024);
    for _ in 0..8 {
        publish(&mut link, b"eight", QoS::AtLeastOnce);
    }
    let writes = net.borrow().writes;
    for _ in 0..8 {
        until(&mut link, &net, "delivered");
    }
    assert_eq!(net.borrow().writes - writes, 1);
    assert_eq!(net.borrow().broker.log().len(), 8);
    // Nobody was asked anything that is not answered.
    net.borrow_mut().now += 10_000;
    assert!(!poll_still(&mut link) && link.session().is_connected());
}

/// What was gathered counts as sent; were that all, a network that takes nothing would be
/// noticed later, or, after QoS 0, by the next ping only.
#[test]
fn what_was_gathered_and_is_not_written_is_a_stalled_write() {
    let (mut link, net) = gathering(1_024);
    net.borrow_mut().stalled = true;
    publish(&mut link, b"a", QoS::AtMostOnce);
    publish(&mut link, b"b", QoS::AtLeastOnce);
    let start = net.borrow().now;
    assert!(!poll_still(&mut link) && !link.session().is_flushed());
    until(&mut link, &net, "disconnected Stalled");
    assert_eq!(net.borrow().now, start + ANSWER_MS);
    net.borrow_mut().stalled = false;
    until(&mut link, &net, "delivered");
    assert!(link.session().is_flushed());
    let net = net.borrow();
    assert_eq!(net.got[1][0], 0x10, "CONNECT comes first");
    assert_eq!(net.broker.log().len(), 1, "QoS 0 ends with its connection");
}

/// A slow network that takes some bytes now and then is not a stalled one.
#[test]
fn each_gathered_byte_that_is_written_begins_the_bound_anew() {
    let (mut link, net) = gathering(1_024);
    publish(&mut link, b"a slow one", QoS::AtMostOnce);
    net.borrow_mut().grain = 1;
    net.borrow_mut().hesitant = true;
    let start = net.borrow().now;
    while net.borrow().broker.log().is_empty() {
        assert!(!poll_still(&mut link), "{}", net.borrow().now - start);
        // Of the five seconds that there are for each.
        net.borrow_mut().now += 1_000;
    }
    assert!(net.borrow().now - start > 10_000);
    assert_eq!(net.borrow().broker.log().len(), 1);
}

/// The broker cannot answer before it has the question. On a network that takes longer for what
/// was gathered than an answer may, each connection would end in vain, and nothing ever arrive.
#[test]
fn the_bound_on_answers_begins_when_what_was_gathered_is_written() {
    // Ten packets, and one that is as long; 100 bytes in 700 ms, and 5 s for an answer.
    for (packets, len) in [(10, 90), (1, 900)] {
        let (mut link, net) = gathering(1_024);
        for _ in 0..packets {
            publish(&mut link, &vec![b'x'; len], QoS::AtLeastOnce);
        }
        net.borrow_mut().grain = 100;
        net.borrow_mut().hesitant = true;
        let mut told = Vec::new();
        while told.len() < packets {
            match poll_next(&mut link, &net, 1, tell) {
                Some((text, _)) => told.push(text),
                None => net.borrow_mut().now += 700,
            }
        }
        assert_eq!(told, vec!["delivered"; packets]);
    }
}

/// Carries on slowly, `ms` for each piece, until what ends with `last` is written; says how long it
/// took from then on that the broker was found to be silent.
fn silent_after(link: &mut TestLink<false>, net: &Shared, ms: u64, last: &[u8]) -> u64 {
    net.borrow_mut().deaf = true;
    let mut written = None;
    loop {
        if let Some((told, _)) = poll_next(link, net, 1, tell) {
            assert_eq!(told, "disconnected Silent");
            return net.borrow().now - written.expect("it is written by then");
        }
        let net = &mut *net.borrow_mut();
        if net.got.last().is_some_and(|got| got.ends_with(last)) {
            written.get_or_insert(net.now);
        } else {
            net.now += ms;
        }
    }
}

/// However long it took to write what was gathered, the broker has all of its time to answer, as
/// far as it is not given up before.
#[test]
fn the_broker_has_its_time_from_when_all_is_written() {
    let (mut link, net) = gathering(1_024);
    publish(&mut link, &[b'x'; 900], QoS::AtLeastOnce);
    net.borrow_mut().grain = 100;
    net.borrow_mut().hesitant = true;
    assert_eq!(silent_after(&mut link, &net, 700, b"xxx"), ANSWER_MS);

    // PINGREQ, byte by byte, with a pause before each.
    for (pause, left) in [(1_000, ANSWER_MS), (2_900, 1_700)] {
        let (mut link, net) = gathering(1_024);
        let due = link.session().deadline().as_millis();
        net.borrow_mut().now = due;
        net.borrow_mut().grain = 1;
        net.borrow_mut().hesitant = true;
        assert_eq!(silent_after(&mut link, &net, pause, &[0xc0, 0]), left);
        assert!(net.borrow().now <= GIVEN_UP_MS);
    }
}

/// A network that takes a byte now and then is not stalled, but the broker is silent all the same,
/// also where what it is asked for waits among what was gathered.
#[test]
fn bytes_that_trickle_out_of_what_was_gathered_hide_no_silence() {
    for qos in [QoS::AtMostOnce, QoS::AtLeastOnce] {
        for before in [0, 9_000, 14_000] {
            let (mut link, net) = gathering(1_024);
            net.borrow_mut().now += before;
            net.borrow_mut().deaf = true;
            net.borrow_mut().grain = 1;
            net.borrow_mut().hesitant = true;
            let mut told = None;
            while told.is_none() {
                assert!(net.borrow().now < 120_000, "not noticed: {qos:?}");
                let (session, now) = link.parts();
                // There is always more, and at last no room for it.
                let _ = session.publish(&Publication::new("out", b"more").qos(qos), now);
                told = poll_next(&mut link, &net, 1, tell);
                net.borrow_mut().now += 1_500;
            }
            assert_eq!(told.unwrap().0, "disconnected Silent");
            // The step of this test is the most that it can be later.
            let now = net.borrow().now - 1_500;
            assert!(now <= GIVEN_UP_MS + 1_500, "{now} ms: {qos:?} {before}");
        }
    }
}

/// The same bound holds once all is written, and what was written before does not hide behind what
/// is gathered later.
#[test]
fn a_silent_broker_is_noticed_behind_what_is_gathered() {
    let (mut link, net) = gathering(1_024);
    publish(&mut link, b"unanswered", QoS::AtLeastOnce);
    net.borrow_mut().deaf = true;
    assert!(!poll_still(&mut link));
    let start = net.borrow().now;
    let mut told = None;
    while told.is_none() {
        publish(&mut link, b"more", QoS::AtMostOnce);
        told = poll_next(&mut link, &net, 1, tell);
        net.borrow_mut().now += 100;
    }
    assert_eq!(told.unwrap().0, "disconnected Silent");
    let waited = net.borrow().now - start;
    let patience = ANSWER_MS..=ANSWER_MS + 200;
    assert!(patience.contains(&waited), "{waited} ms");
}

/// Memory that is changed for other memory takes with it what waits.
#[test]
fn gathering_elsewhere_keeps_what_was_gathered() {
    for other in [0, 512] {
        let (mut link, net) = gathering(256);
        publish(&mut link, b"x", QoS::AtLeastOnce);
        net.borrow_mut().stalled = true;
        assert!(!poll_still(&mut link));
        let mut link = link.gather(vec![0; other].leak());
        net.borrow_mut().stalled = false;
        assert_eq!(until(&mut link, &net, "delivered"), ["delivered"]);
        assert_eq!(net.borrow().broker.log().len(), 1);
    }
}

/// What waits for a flush is written already: gathered as well, it would go out twice.
#[test]
fn what_waits_for_a_flush_is_not_gathered() {
    let (mut link, net) = connected::<true>();
    net.borrow_mut().flush_stalled = true;
    publish(&mut link, b"once", QoS::AtMostOnce);
    assert!(!poll_still(&mut link));
    let mut link = link.gather(vec![0; 1_024].leak());
    assert!(!poll_still(&mut link));
    net.borrow_mut().flush_stalled = false;
    publish(&mut link, b"then", QoS::AtLeastOnce);
    until(&mut link, &net, "delivered");
    let payloads: Vec<_> = net
        .borrow()
        .broker
        .log()
        .iter()
        .map(|a| a.payload.clone())
        .collect();
    assert_eq!(payloads, [b"once", b"then"]);
}

/// A flush may have sent what does not count as sent yet. An answer that is read before it counts
/// would be one that nobody asked for, and end the connection.
#[test]
fn an_answer_is_not_read_before_what_it_answers_counts_as_sent() {
    let (mut link, net) = connected::<true>();
    net.borrow_mut().flush_stalled = true;
    publish(&mut link, b"x", QoS::AtLeastOnce);
    assert!(!poll_still(&mut link));
    // It went out all the same, and a timer has passed before anybody looks.
    net.borrow_mut().slip_through();
    let due = link.session().deadline().as_millis();
    net.borrow_mut().flush_stalled = false;
    net.borrow_mut().now = due;
    let (told, _) = poll_next(&mut link, &net, 100, tell).unwrap();
    assert!(!told.contains("Protocol"), "{told}");
}

/// Writes what there is, and then does something else for longer than an answer may take.
fn busy_after_writing(link: &mut TestLink<false>, net: &Shared) {
    // It is written, and the answer comes, while nobody reads.
    net.borrow_mut().deaf = true;
    while net.borrow().broker.log().is_empty() {
        assert!(!poll_still(link));
    }
    net.borrow_mut().deaf = false;
    net.borrow_mut().now += 6_000;
}

/// The application was busy for longer than an answer may take. That the answer came in time is
/// in the socket.
#[test]
fn an_answer_that_was_not_read_yet_counts() {
    let (mut link, net) = connected::<false>();
    publish(&mut link, b"x", QoS::AtLeastOnce);
    busy_after_writing(&mut link, &net);
    let (told, _) = poll_next(&mut link, &net, 100, tell).unwrap();
    assert_eq!(told, "delivered");
}

/// The same behind more than there is room for; but a flood that never ends is not waited for.
#[test]
fn an_answer_behind_a_flood_counts_and_a_flood_hides_no_silence() {
    let (mut link, net) = connected::<false>();
    subscribe(&mut link);
    until(&mut link, &net, "subscribed in");
    publish(&mut link, b"x", QoS::AtLeastOnce);
    for _ in 0..200 {
        send(&net, b"a message of some length", Qos::AtMostOnce);
    }
    busy_after_writing(&mut link, &net);
    let told = until(&mut link, &net, "delivered");
    assert!(told.iter().all(|text| text != "disconnected Silent"));

    // QoS 0 to "in", as fast as it is read, and no answer.
    let (mut link, net) = connected::<false>();
    net.borrow_mut().firehose = [0x30, 6, 0, 2, b'i', b'n', 0, b'x'].repeat(200);
    net.borrow_mut().deaf = true;
    publish(&mut link, b"y", QoS::AtLeastOnce);
    let start = net.borrow().now;
    let mut told = String::new();
    while !told.starts_with("disconnected") {
        (told, _) = poll_next(&mut link, &net, 100, tell).unwrap();
        net.borrow_mut().now += 1;
    }
    assert_eq!(told, "disconnected Silent");
    let waited = net.borrow().now - start;
    let patience = ANSWER_MS..=ANSWER_MS + 1_500;
    assert!(patience.contains(&waited), "{waited} ms");
}

/// DISCONNECT that counted as sent while it waited would end the connection before it went out,
/// and what waits in front of it with it.
#[test]
fn stopping_writes_what_was_gathered_and_then_disconnect() {
    let (mut link, net) = gathering(1_024);
    net.borrow_mut().stalled = true;
    publish(&mut link, b"last", QoS::AtMostOnce);
    assert!(!poll_still(&mut link));
    let (session, now) = link.parts();
    session.stop(now);
    assert!(!poll_still(&mut link));
    net.borrow_mut().stalled = false;
    net.borrow_mut().hesitant = true;
    // The future is dropped again and again, also where DISCONNECT is about to be written.
    while !poll_still(&mut link) {}
    let net = net.borrow();
    assert!(net.got[0].ends_with(&[0xe0, 0]), "no DISCONNECT");
    assert_eq!(net.broker.log().len(), 1);
}

/// An error that is passed over leaves the device with a dead connection.
#[test]
fn every_error_of_the_transport_is_told_and_survived() {
    type Fault = fn(&mut Net);
    let faults: [(Fault, &str); 8] = [
        (|net| net.eof = true, "Closed"),
        (
            |net| net.read_error = Some(ErrorKind::ConnectionReset),
            "Reset",
        ),
        (|net| net.read_error = Some(ErrorKind::TimedOut), "TimedOut"),
        (|net| net.read_error = Some(ErrorKind::Other), "Reset"),
        (|net| net.write_error = Some(ErrorKind::BrokenPipe), "Reset"),
        (
            |net| net.write_error = Some(ErrorKind::TimedOut),
            "TimedOut",
        ),
        (
            |net| net.flush_error = Some(ErrorKind::ConnectionAborted),
            "Reset",
        ),
        (|net| net.write_nothing = true, "Reset"),
    ];
    for (at, (fault, network)) in faults.into_iter().enumerate() {
        let (mut link, net) = connected::<true>();
        fault(&mut net.borrow_mut());
        publish(&mut link, b"kept", QoS::AtLeastOnce);
        until(&mut link, &net, &format!("disconnected Network({network})"));
        assert_eq!((net.borrow().opened, net.borrow().closed), (1, 1), "{at}");
        net.borrow_mut().write_nothing = false;

        until(&mut link, &net, "delivered");
        assert_eq!((net.borrow().opened, net.borrow().closed), (2, 1), "{at}");
    }
}

/// A broker that comes back would not be found after this or that way of failing.
#[test]
fn every_way_to_fail_opening_is_told_and_tried_again() {
    for network in [
        Network::Down,
        Network::Dns,
        Network::ConnectionRefused,
        Network::Unreachable,
        Network::TimedOut,
        Network::Tls,
        Network::Closed,
        Network::Reset,
    ] {
        let net = Net::new();
        net.borrow_mut().openings.push_back(Opening::Fails(network));
        let mut link = link::<false>(&net, session());
        let told = until(&mut link, &net, "connected false");
        assert_eq!(told[0], format!("disconnected Network({network:?})"));
        assert_eq!((net.borrow().opened, net.borrow().closed), (2, 1));
    }
}

/// Opening that hangs, in a resolver perhaps, would be the end of the device.
#[test]
fn opening_that_never_ends_is_bounded() {
    let net = Net::new();
    net.borrow_mut().openings.push_back(Opening::Never);
    let mut link = link::<false>(&net, session());
    let told = until(&mut link, &net, "disconnected ConnectTimeout");
    assert_eq!(told.len(), 1);
    assert_eq!(net.borrow().now, 4_000);
    assert_eq!((net.borrow().opened, net.borrow().closed), (1, 1));
    until(&mut link, &net, "connected false");
}

/// An attempt that starts anew with each timer or each dropped future may never succeed.
#[test]
fn opening_goes_on_where_it_was() {
    let net = Net::new();
    net.borrow_mut().openings.push_back(Opening::After(20));
    let mut link = link::<false>(&net, session());
    for _ in 0..15 {
        assert!(poll_next(&mut link, &net, 1, tell).is_none());
    }
    // A publication that expires meanwhile.
    let (session, now) = link.parts();
    let short = Publication::new("out", b"x")
        .qos(QoS::AtLeastOnce)
        .expires(0);
    session.publish(&short, now).unwrap();
    let told = until(&mut link, &net, "connected false");
    assert_eq!(
        (net.borrow().opened, net.borrow().closed),
        (1, 0),
        "{told:?}"
    );
}

/// Half a packet of the old connection, put before the first of the new one,
/// makes nonsense of both.
#[test]
fn nothing_of_one_connection_is_taken_for_another_s() {
    let (mut link, net) = connected::<true>();
    let conn = net.borrow().conn.unwrap();
    // A message of twenty bytes of which six come, and half of one to go out.
    net.borrow_mut()
        .broker
        .send_raw(conn, &[0x30, 20, 0, 2, b'i', b'n']);
    net.borrow_mut().grain = 3;
    net.borrow_mut().hesitant = true;
    publish(&mut link, b"kept", QoS::AtLeastOnce);
    while net.borrow().writes < 3 {
        assert!(poll_next(&mut link, &net, 1, tell).is_none());
    }
    net.borrow_mut().read_error = Some(ErrorKind::ConnectionReset);
    until(&mut link, &net, "disconnected Network(Reset)");
    net.borrow_mut().grain = usize::MAX;
    until(&mut link, &net, "delivered");
    let net = net.borrow();
    assert_eq!(net.got[1][0], 0x10, "CONNECT comes first");
    assert_eq!(net.broker.log().len(), 1);
}

fn stopped<const BUFFERED: bool>() {
    let (mut link, net) = connected::<BUFFERED>();
    net.borrow_mut().hesitant = true;
    let (session, now) = link.parts();
    session.stop(now);
    let told = until(&mut link, &net, "disconnected Stopped");
    assert_eq!(told.len(), 1);
    assert!(net.borrow().got[0].ends_with(&[0xe0, 0]), "no DISCONNECT");
    assert_eq!((net.borrow().opened, net.borrow().closed), (1, 1));
    let (session, now) = link.parts();
    session.start(now);
    until(&mut link, &net, "connected true");
    assert_eq!((net.borrow().opened, net.borrow().closed), (2, 1));
}

/// Without DISCONNECT the broker publishes the will of a device that was
/// switched off in good order.
#[test]
fn stopping_says_so_and_closes() {
    stopped::<false>();
}

/// The same: DISCONNECT that stays behind a flush was never said.
#[test]
fn stopping_flushes_before_it_closes() {
    stopped::<true>();
}

/// A broker that takes nothing would keep the application from ending.
#[test]
fn stopping_is_bounded() {
    let (mut link, net) = connected::<true>();
    net.borrow_mut().stalled = true;
    let (session, now) = link.parts();
    session.stop(now);
    let (told, _) = poll_next(&mut link, &net, 100, tell).unwrap();
    assert!(told.starts_with("disconnected"), "{told}");
    assert_eq!(net.borrow().now, now.as_millis() + ANSWER_MS);
    assert_eq!((net.borrow().opened, net.borrow().closed), (1, 1));
}
