//! The radio's task with an access point of memory, on virtual time.

mod air;
#[path = "../../../../mqtt/tests/embassy/time.rs"]
mod time;

use std::task::{Context, Waker};

use aldis_device::{Order, Supervisor};
use aldis_embassy::radio::State;
use aldis_embassy::witness::Witness;
use aldis_mqtt::Instant;
use embassy_net::driver::{Driver as _, LinkState};
use embassy_time::Timer;

use air::{Air, Network, Said};

/// A radio that runs beside a test.
fn with_radio(network: Network, test: impl AsyncFnOnce(&Air, &State)) -> Vec<Said> {
    let (air, state) = (Air::new(network), State::new());
    time::run(vec![
        Box::pin(test(&air, &state)),
        Box::pin(async {
            aldis_embassy::radio::run(&mut air.driver(), "home", &state, &air).await;
        }),
    ]);
    air.said()
}

async fn seconds(seconds: u64) {
    Timer::after_secs(seconds).await;
}

fn lines(said: &[Said]) -> Vec<&str> {
    said.iter().map(|said| said.line.as_str()).collect()
}

/// A device that gives up, or tries so seldom that its owner does.
#[test]
fn an_absent_access_point_is_looked_for_for_ever() {
    let said = with_radio(Network::Absent, async |air, state| {
        seconds(86_400).await;
        let attempts = air.attempts();
        assert!(attempts.len() > 86_400 / 40, "{}", attempts.len());
        let gaps = attempts.windows(2).map(|pair| pair[1] - pair[0]);
        assert!(gaps.max().unwrap() <= 36_000, "in milliseconds");
        assert!(!state.look().joined);
        air.set(Network::Good);
        seconds(36).await;
        assert!(state.look().joined);
        assert_eq!(state.rssi_dbm(), Some(-60));
    });
    assert_eq!(
        lines(&said),
        ["wifi: not joined no access point", "wifi: joined home"]
    );
}

/// A password that was mistyped at the access point and is put right there.
#[test]
fn a_wrong_password_is_told_once_and_tried_again() {
    let said = with_radio(Network::Refuses("wrong password"), async |air, _| {
        seconds(600).await;
        air.set(Network::Absent);
        seconds(120).await;
        air.set(Network::Refuses("wrong password"));
        seconds(120).await;
        air.set(Network::Good);
        seconds(60).await;
    });
    assert_eq!(
        lines(&said),
        [
            "wifi: not joined wrong password",
            "wifi: not joined no access point",
            "wifi: not joined wrong password",
            "wifi: joined home"
        ]
    );
}

/// The access point restarts, and then refuses for 90 seconds what it believes to be
/// joined already. Twice, because a second time is not the first.
#[test]
fn an_access_point_that_restarts_is_joined_again() {
    let said = with_radio(Network::Good, async |air, state| {
        for outage in 1..=2 {
            seconds(300).await;
            assert!(state.look().joined);
            air.lose("beacon timeout");
            air.set(Network::Absent);
            let lost = time::now();
            seconds(40).await;
            assert!(!state.look().joined);
            assert_eq!(state.rssi_dbm(), None);
            // However long it took to join the last time, it is soon tried again.
            let again = air.attempts().into_iter().find(|at| *at > lost);
            assert!(again.is_some_and(|at| at <= lost + 1_100), "{again:?}");
            air.set(Network::Refuses("association failed"));
            seconds(90).await;
            air.set(Network::Good);
            seconds(36).await;
            assert!(state.look().joined);
            assert_eq!(state.losses(), outage);
        }
    });
    let outage = [
        "wifi: lost beacon timeout",
        "wifi: not joined no access point",
        "wifi: not joined association failed",
        "wifi: joined home",
    ];
    assert_eq!(
        lines(&said),
        [&["wifi: joined home"][..], &outage, &outage].concat()
    );
}

/// The driver's event was lost: the device believes itself joined for ever.
#[test]
fn a_loss_without_an_event_is_noticed() {
    let said = with_radio(Network::Good, async |air, _| {
        seconds(10).await;
        air.lose_silently();
        seconds(5).await;
    });
    assert_eq!(
        lines(&said),
        [
            "wifi: joined home",
            "wifi: lost unknown",
            "wifi: joined home"
        ]
    );
    assert!(said[1].at - 10_000 <= 2_000, "{said:?}");
}

/// A driver that hangs would hang the task with it.
#[test]
fn a_driver_that_does_not_answer_is_told_and_started_again() {
    let said = with_radio(Network::Good, async |air, state| {
        seconds(10).await;
        air.set(Network::Hangs);
        air.lose("beacon timeout");
        seconds(60).await;
        let turns = state.look().turns;
        assert!(state.look().unresponsive);
        seconds(60).await;
        assert!(state.look().turns > turns);
        assert_eq!(air.starts(), 1);
        state.order(Order::Reinitialise);
        seconds(31).await;
        assert_eq!(air.starts(), 2);
        air.set(Network::Good);
        seconds(60).await;
        assert!(!state.look().unresponsive);
    });
    assert_eq!(
        lines(&said),
        [
            "wifi: joined home",
            "wifi: lost beacon timeout",
            "wifi: not joined no answer",
            "wifi: joined home"
        ]
    );
}

/// A driver that does not even start.
#[test]
fn a_driver_that_does_not_start_is_started_again() {
    let said = with_radio(Network::NoDriver, async |air, state| {
        seconds(600).await;
        assert!((30..=45).contains(&air.starts()), "{}", air.starts());
        assert!(state.look().unresponsive);
        air.set(Network::Good);
        seconds(20).await;
        assert!(!state.look().unresponsive);
    });
    assert_eq!(
        lines(&said),
        ["wifi: no driver out of memory", "wifi: joined home"]
    );
}

/// Orders of the supervisor, whatever the radio is doing.
#[test]
fn orders_are_obeyed() {
    let said = with_radio(Network::Good, async |air, state| {
        seconds(10).await;
        state.order(Order::Rejoin);
        seconds(5).await;
        assert_eq!((air.starts(), air.attempts().len()), (1, 2));
        state.order(Order::Reinitialise);
        seconds(5).await;
        assert_eq!((air.starts(), air.attempts().len()), (2, 3));
        // While there is nothing to join.
        air.set(Network::Absent);
        air.lose("left");
        seconds(100).await;
        state.order(Order::Reinitialise);
        seconds(40).await;
        assert_eq!(air.starts(), 3);
        let attempts = air.attempts().len();
        state.order(Order::Rejoin);
        seconds(1).await;
        assert!(air.attempts().len() > attempts);
    });
    assert_eq!(
        lines(&said),
        [
            "wifi: joined home",
            "wifi: lost left",
            "wifi: joined home",
            "wifi: lost left",
            "wifi: joined home",
            "wifi: lost left",
            "wifi: not joined no access point"
        ]
    );
}

/// Joined, and nothing comes through: the supervisor's orders bring it back.
#[test]
fn a_radio_that_is_deaf_is_brought_back() {
    for cured_by in [Order::Rejoin, Order::Reinitialise] {
        let said = with_radio(Network::Good, async |air, state| {
            seconds(5).await;
            air.go_deaf(cured_by);
            let now = || Instant::from_millis(time::now());
            let mut supervisor = Supervisor::new(now());
            let mut orders = Vec::new();
            for second in 0..1_000 {
                seconds(1).await;
                let mut radio = state.look();
                radio.heard = air.heard();
                // There is no network stack.
                radio.polls = second;
                if let Some(order) = supervisor.watch(radio, false, now()) {
                    orders.push(order);
                    state.order(order);
                }
                assert!(supervisor.is_alive(now()));
            }
            assert_eq!(orders.last(), Some(&cured_by), "{orders:?}");
            assert!(!air.is_deaf());
        });
        assert!(said.len() >= 3, "{said:?}");
    }
}

/// After a power cut a hundred devices would ask at the same moment.
#[test]
fn attempts_of_different_devices_come_apart() {
    let times: Vec<Vec<u64>> = (0..2)
        .map(|seed| {
            let mut attempts = Vec::new();
            with_radio(Network::Absent, async |air, _| {
                air.seed(seed);
                seconds(300).await;
                attempts = air.attempts();
            });
            attempts
        })
        .collect();
    let same = times[0].iter().filter(|at| times[1].contains(at)).count();
    assert!(same <= 2, "{times:?}");
}

/// A driver that is clogged for good needs more room when it is started anew.
#[test]
fn a_clogged_driver_is_told_to_the_next() {
    with_radio(Network::Good, async |air, state| {
        seconds(10).await;
        state.order(Order::Reinitialise);
        seconds(10).await;
        assert_eq!((air.starts(), air.clogged()), (2, 0));
        let mut card = Witness::new(air::Full, &state.seen);
        let mut cx = Context::from_waker(Waker::noop());
        // It shows the break before.
        assert!(card.link_state(&mut cx) == LinkState::Down);
        assert!(card.link_state(&mut cx) == LinkState::Up);
        assert!(card.transmit(&mut cx).is_none());
        seconds(2).await;
        state.order(Order::Reinitialise);
        seconds(10).await;
        assert_eq!((air.starts(), air.clogged()), (3, 1));
    });
}
