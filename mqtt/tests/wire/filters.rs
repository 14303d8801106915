//! Which topics may be published to, and which filters subscribed to.

use aldis_mqtt::wire::{valid_filter, valid_topic};

/// A wrong topic would end the connection, again on each one.
#[test]
fn topic_names() {
    let longest = "x".repeat(65_535);
    for good in [
        "a",
        "/",
        "a/b",
        "/a",
        "a/",
        "a//b",
        " ",
        "$SYS/x",
        "ä/日本",
        &longest,
    ] {
        assert!(valid_topic(good), "{good:.40}");
    }
    let too_long = "x".repeat(65_536);
    for (bad, why) in [
        ("", "MQTT-4.7.3-1: at least one character"),
        ("a/+", "MQTT-3.3.2-2: no wildcards"),
        ("+", "MQTT-3.3.2-2"),
        ("#", "MQTT-3.3.2-2"),
        ("a/#", "MQTT-3.3.2-2"),
        ("a#b", "MQTT-3.3.2-2"),
        ("a\0b", "MQTT-4.7.3-2: no null character"),
        (&too_long, "MQTT-4.7.3-3: at most 65,535 bytes"),
    ] {
        assert!(!valid_topic(bad), "{bad:.40}: {why}");
    }
}

/// Likewise.
#[test]
fn topic_filters() {
    let longest = "x".repeat(65_535);
    for good in [
        "a",
        "/",
        "#",
        "+",
        "+/+",
        "a/#",
        "/#",
        "+/#",
        "a/+/b",
        "/+",
        "+/",
        "a//b",
        "//",
        "$SYS/#",
        "$share",
        "$shared/a",
        "a b/c d",
        "日本/+",
        &longest,
    ] {
        assert!(valid_filter(good), "{good:.40}");
    }
    let too_long = "x".repeat(65_536);
    for (bad, why) in [
        ("", "MQTT-4.7.3-1: at least one character"),
        ("a#", "MQTT-4.7.1-1: # stands for whole levels"),
        ("a/#/b", "MQTT-4.7.1-1: # comes last"),
        ("#/", "MQTT-4.7.1-1: # comes last"),
        ("##", "MQTT-4.7.1-1"),
        ("#a", "MQTT-4.7.1-1"),
        ("+#", "MQTT-4.7.1-1"),
        ("a+", "MQTT-4.7.1-2: + stands for a whole level"),
        ("+a", "MQTT-4.7.1-2"),
        ("a/+b", "MQTT-4.7.1-2"),
        ("a/b+/c", "MQTT-4.7.1-2"),
        ("++", "MQTT-4.7.1-2"),
        ("+/a+/#", "MQTT-4.7.1-2"),
        ("a\0", "MQTT-4.7.3-2: no null character"),
        (&too_long, "MQTT-4.7.3-3: at most 65,535 bytes"),
    ] {
        assert!(!valid_filter(bad), "{bad:.40}: {why}");
    }
}

/// A shared subscription has a group and a filter.
#[test]
fn shared_filters() {
    for good in [
        "$share/g/a",
        "$share/g/#",
        "$share/g/+",
        "$share/g//",
        "$share/g/a/+/#",
        "$share/$g/$SYS/#",
        "$share/日/a",
    ] {
        assert!(valid_filter(good), "{good}");
    }
    for (bad, why) in [
        ("$share/", "MQTT-4.8.2-1: a group of at least one character"),
        ("$share//a", "MQTT-4.8.2-1"),
        ("$share/g", "MQTT-4.8.2-2: a slash and a filter follow"),
        ("$share/g/", "MQTT-4.8.2-2"),
        ("$share/+/a", "MQTT-4.8.2-2: no wildcard in the group"),
        ("$share/#/a", "MQTT-4.8.2-2"),
        ("$share/g#/a", "MQTT-4.8.2-2"),
        ("$share/g+/a", "MQTT-4.8.2-2"),
        (
            "$share/g\0/a",
            "MQTT-4.7.3-2: no null character, not in the group either",
        ),
        ("$share/g/a#", "MQTT-4.7.1-1"),
        ("$share/g/a+", "MQTT-4.7.1-2"),
        ("$share/g/#/a", "MQTT-4.7.1-1"),
        ("$share/g/a\0", "MQTT-4.7.3-2"),
    ] {
        assert!(!valid_filter(bad), "{bad:?}: {why}");
    }
}
