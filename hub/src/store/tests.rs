use std::time::{Duration, Instant};

use rusqlite::Connection;

use super::schema::{self, Change, Message};
use super::{BACKLOG, Backlog, Contents, RETRY_INTERVAL, Store, Writer};
use crate::error::HubError;

const LIMIT: Duration = Duration::from_secs(10);

fn message(stamp: i64) -> Message {
    Message {
        stamp,
        topic: "t".to_owned(),
        payload: b"payload".to_vec(),
        packet: None,
        body: b"body".to_vec(),
    }
}

fn connect(client: &str, owner: &str, fresh: bool) -> Change {
    Change::Connect {
        client: client.to_owned(),
        owner: owner.to_owned(),
        body: owner.as_bytes().to_vec(),
        fresh,
    }
}

fn subscribe(client: &str, filter: &str) -> Change {
    Change::Subscribe {
        client: client.to_owned(),
        filter: filter.to_owned(),
        body: b"options".to_vec(),
    }
}

fn queue(client: &str, message: Message) -> Change {
    Change::Queue {
        client: client.to_owned(),
        message,
    }
}

/// What is stored after the changes, each committed on its own.
fn after(changes: &[Change]) -> Contents {
    let mut connection = Connection::open_in_memory().unwrap();
    schema::prepare(&mut connection).unwrap();
    for change in changes {
        schema::apply(&mut connection, std::iter::once(change)).unwrap();
    }
    schema::read(&connection).unwrap()
}

/// A hub that forgets at its end what it was given.
#[tokio::test]
async fn what_is_written_is_there_when_opened_again() {
    let dir = tempfile::tempdir().unwrap();
    let (store, empty) = Store::open(Some(dir.path())).unwrap();
    assert!(empty.retained.is_empty() && empty.sessions.is_empty());
    let retain = Change::Retain {
        topic: "a/b".to_owned(),
        body: vec![1, 2],
    };
    store.write(retain).await;
    for change in [
        connect("c", "one", true),
        subscribe("c", "x/#"),
        queue("c", message(7)),
    ] {
        store.post(change).await;
    }
    store.close(LIMIT);

    let (store, contents) = Store::open(Some(dir.path())).unwrap();
    assert_eq!(contents.retained, [("a/b".to_owned(), vec![1, 2])]);
    let [session] = contents.sessions.as_slice() else {
        panic!("{contents:?}");
    };
    assert_eq!((session.client.as_str(), session.connected), ("c", true));
    assert_eq!(
        session.subscriptions,
        [("x/#".to_owned(), b"options".to_vec())]
    );
    assert_eq!(session.queue, [message(7)]);
    store.close(LIMIT);
}

/// A clean start that finds the subscriptions and messages of the session before.
#[test]
fn a_fresh_session_begins_empty_and_a_resumed_one_does_not() {
    let before = [
        connect("c", "one", true),
        subscribe("c", "x"),
        queue("c", message(1)),
    ];
    let resumed = after(&[&before[..], &[connect("c", "two", false)]].concat());
    assert_eq!(resumed.sessions[0].body, b"two");
    assert_eq!(resumed.sessions[0].subscriptions.len(), 1);
    assert_eq!(resumed.sessions[0].queue.len(), 1);
    let fresh = after(&[&before[..], &[connect("c", "two", true)]].concat());
    assert!(fresh.sessions[0].subscriptions.is_empty());
    assert!(fresh.sessions[0].queue.is_empty());
}

/// The end of a connection that was taken over would delete the session of its successor.
#[test]
fn only_the_owner_ends_a_session() {
    let terminate = |owner: &str| Change::Terminate {
        client: "c".to_owned(),
        owner: owner.to_owned(),
    };
    let disconnect = |owner: &str| Change::Disconnect {
        client: "c".to_owned(),
        owner: owner.to_owned(),
        body: b"gone".to_vec(),
    };
    let taken_over = [connect("c", "one", true), connect("c", "two", false)];
    let contents = after(&[&taken_over[..], &[disconnect("one"), terminate("one")]].concat());
    assert_eq!(contents.sessions[0].body, b"two");
    assert!(contents.sessions[0].connected);
    let contents = after(&[&taken_over[..], &[disconnect("two")]].concat());
    assert_eq!(contents.sessions[0].body, b"gone");
    assert!(!contents.sessions[0].connected);
    let contents = after(&[&taken_over[..], &[terminate("two")]].concat());
    assert!(contents.sessions.is_empty());
}

/// A message that is sent after it has waited would be delivered twice after a restart.
#[test]
fn a_message_has_one_row_until_it_is_acknowledged() {
    let sent = Message {
        packet: Some(9),
        ..message(1)
    };
    let waiting = [
        connect("c", "one", true),
        queue("c", message(1)),
        queue("c", message(2)),
        queue("c", sent.clone()),
    ];
    let contents = after(&waiting);
    assert_eq!(contents.sessions[0].queue, [sent.clone(), message(2)]);
    let acked = Change::Unqueue {
        client: "c".to_owned(),
        message: sent,
    };
    let contents = after(&[&waiting[..], &[acked.clone(), acked]].concat());
    assert_eq!(contents.sessions[0].queue, [message(2)]);
}

/// Two hubs would overwrite each other's messages.
#[test]
fn a_directory_is_for_one_hub() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = Store::open(Some(dir.path())).unwrap();
    let error = Store::open(Some(dir.path())).unwrap_err();
    assert!(
        matches!(error, HubError::DataInUse { pid: Some(pid), .. } if pid == std::process::id()),
        "{error}"
    );
    store.close(LIMIT);
    Store::open(Some(dir.path())).unwrap().0.close(LIMIT);
}

/// A damaged file, or one of a newer hub, must neither be overwritten nor end in a panic.
#[test]
fn a_file_that_cannot_be_read_is_left_alone_and_explained() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("hub.db");
    let garbage = [b'x'; 4096];
    std::fs::write(&file, garbage).unwrap();
    let error = Store::open(Some(dir.path())).unwrap_err().to_string();
    assert!(
        error.contains("move") && error.contains("hub.db"),
        "{error}"
    );
    assert_eq!(std::fs::read(&file).unwrap(), garbage);

    std::fs::remove_file(&file).unwrap();
    Connection::open(&file)
        .unwrap()
        .pragma_update(None, "user_version", 99)
        .unwrap();
    let error = Store::open(Some(dir.path())).unwrap_err().to_string();
    assert!(error.contains("newer hub"), "{error}");
}

fn big(topic: u32) -> Change {
    Change::Retain {
        topic: topic.to_string(),
        body: vec![7; 64 * 1024],
    }
}

/// Once full, a disk would stop the hub from storing for ever, or for good.
#[test]
fn a_full_disk_delays_changes_until_there_is_room() {
    let mut connection = Connection::open_in_memory().unwrap();
    schema::prepare(&mut connection).unwrap();
    let pages: u32 = connection
        .pragma_query_value(None, "page_count", |row| row.get(0))
        .unwrap();
    connection
        .pragma_update(None, "max_page_count", pages + 2)
        .unwrap();
    let mut writer = Writer {
        connection,
        name: "test".into(),
        backlog: Backlog::default(),
        failing: false,
        last_attempt: Instant::now(),
        unsynced_since: None,
    };
    writer.write(vec![big(1)]);
    assert!(writer.failing);
    writer.write(vec![big(2)]);
    assert_eq!(writer.backlog.changes.len(), 2);
    assert!(
        schema::read(&writer.connection)
            .unwrap()
            .retained
            .is_empty()
    );

    writer
        .connection
        .pragma_update(None, "max_page_count", pages + 1000)
        .unwrap();
    writer.last_attempt -= RETRY_INTERVAL;
    writer.write(vec![big(3)]);
    assert!(!writer.failing);
    assert!(writer.backlog.changes.is_empty());
    assert_eq!(schema::read(&writer.connection).unwrap().retained.len(), 3);
}

/// A disk that stays full would fill the memory as well.
#[test]
fn the_backlog_is_bounded_and_counts_what_it_loses() {
    let mut backlog = Backlog::default();
    backlog.extend((0..400).map(big).collect());
    assert!(backlog.bytes <= BACKLOG);
    assert!(backlog.lost > 0);
    assert_eq!(backlog.lost + backlog.changes.len() as u64, 400);
    let newest = backlog.changes.back().unwrap();
    assert!(matches!(newest, Change::Retain { topic, .. } if topic == "399"));
}
