//! What clients see of several nodes: one broker.

use std::process::Command;

use super::common::{Folder, PATIENCE, Program, Tools, aldis, free_port, succeed};
use super::installation::{ASSEMBLY, Nodes, wait};

const TOOLS: Tools = Tools::Aldis;

impl Nodes {
    fn port(&self, node: usize) -> u16 {
        self.addresses[node].port()
    }

    /// Publishes at a node as soon as that lets it: after a kill there is no leader for a moment.
    fn publish(&self, node: usize, arguments: &[&str]) {
        wait("a message is taken", PATIENCE, || {
            let mut command = aldis("pub");
            command.args(["-h", "127.0.0.1", "-p", &self.port(node).to_string()]);
            command.args(["-q", "1"]).args(arguments);
            command.output().unwrap().status.success()
        });
    }

    /// What is retained at a node, by topic.
    fn retained(&self, node: usize) -> Vec<String> {
        let mut said = Vec::new();
        wait("a node lets a client in", PATIENCE, || {
            let mut command = aldis("sub");
            command.args(["-h", "127.0.0.1", "-p", &self.port(node).to_string()]);
            // All of it comes before this one's own message.
            command.args(["-t", "kept/#", "-v", "-W", "1"]);
            let output = command.output().unwrap();
            let text = String::from_utf8(output.stdout).unwrap();
            said = text.lines().map(str::to_owned).collect();
            said.sort();
            // 27: its time is over.
            output.status.code() == Some(27)
        });
        said
    }

    /// A client that keeps its session.
    fn client(&self, node: usize, id: &str, more: &[&str]) -> Command {
        let mut command = aldis("sub");
        command.args(["-h", "127.0.0.1", "-p", &self.port(node).to_string()]);
        command.args(["-i", id, "-c", "-q", "1", "-v"]).args(more);
        command
    }
}

/// A client gets only what is published at its own node; what was retained or cleared while a
/// node was away is not, or comes back; a session and its messages stay behind when its client
/// comes to another node, or are lost with the node that is killed.
#[test]
fn three_nodes_are_one_broker() {
    let folder = Folder::new();
    let mut nodes = Nodes::new(&folder);
    nodes.start();

    // Across nodes.
    let mut listener = TOOLS.sub(nodes.port(2), &["-t", "a/#", "-v", "-d"]);
    listener.wait_for_text("SUBACK");
    nodes.publish(0, &["-t", "a/b", "-m", "over"]);
    listener.wait_for_line("a/b over");

    // Retained at each, and cleared at each.
    nodes.publish(0, &["-t", "kept/one", "-m", "1", "-r"]);
    nodes.publish(1, &["-t", "kept/two", "-m", "2", "-r"]);
    nodes.publish(1, &["-t", "kept/three", "-m", "3", "-r"]);
    for node in 0..3 {
        assert_eq!(
            nodes.retained(node),
            ["kept/one 1", "kept/three 3", "kept/two 2"]
        );
    }

    // A session goes along, with what waits.
    succeed(&mut nodes.client(0, "roaming", &["-t", "to/roaming", "-E"]));
    nodes.publish(1, &["-t", "to/roaming", "-m", "first"]);
    nodes.publish(2, &["-t", "to/roaming", "-m", "second"]);
    let said = succeed(&mut nodes.client(2, "roaming", &["-t", "to/roaming", "-C", "2"]));
    assert_eq!(said, ["to/roaming first", "to/roaming second"]);

    // A node is away: what is for its clients waits for them, wherever they come.
    succeed(&mut nodes.client(1, "stranded", &["-t", "to/stranded", "-E"]));
    nodes.services[1].kill();
    nodes.publish(0, &["-t", "to/stranded", "-m", "kept for you"]);
    nodes.publish(0, &["-t", "kept/one", "-m", "new", "-r"]);
    nodes.publish(2, &["-t", "kept/two", "-r", "-n"]);
    let mut stranded = Program::start(&mut nodes.client(2, "stranded", &["-t", "to/stranded"]));
    stranded.wait_for_line("to/stranded kept for you");
    stranded.stop();

    // Back, it knows what it missed, and takes its old sessions for gone.
    nodes.services[1].start();
    nodes.wait_for(1);
    for node in [1, 0, 2] {
        assert_eq!(nodes.retained(node), ["kept/one new", "kept/three 3"]);
    }
    nodes.publish(1, &["-t", "to/stranded", "-m", "again"]);
    let mut stranded = Program::start(&mut nodes.client(0, "stranded", &["-t", "to/stranded"]));
    stranded.wait_for_line("to/stranded again");
}

/// Somebody takes another user's session over by coming to another node.
#[test]
fn a_session_at_another_node_is_nobody_elses() {
    let folder = Folder::new();
    let mut more = String::new();
    for name in ["ann", "bob"] {
        let password = aldis_hub::hash_password(name).unwrap();
        more += &format!("[[user]]\nname = \"{name}\"\npassword = \"{password}\"\n");
    }
    let mut nodes = Nodes::with(&folder, &more);
    nodes.start();
    let client = |node: usize, name: &str, more: &[&str]| {
        let mut command = nodes.client(node, "hers", &["-t", "to/ann", "-u", name, "-P", name]);
        command.args(more);
        command
    };
    succeed(&mut client(0, "ann", &["-E"]));
    nodes.publish(
        2,
        &["-t", "to/ann", "-m", "secret", "-u", "ann", "-P", "ann"],
    );
    let (status, said) = Program::start(&mut client(1, "bob", &["-C", "1"])).finish();
    assert!(!status.success(), "{said:?}");
    assert!(!said.join("\n").contains("secret"), "{said:?}");
    let said = succeed(&mut client(1, "ann", &["-C", "1"]));
    assert_eq!(said, ["to/ann secret"]);
}

/// A node that was out of reach keeps the session of a client that went to another node
/// meanwhile, and gives it that when it comes back: what waits at the other one is lost.
#[test]
fn a_node_that_was_out_of_reach_lets_old_sessions_go() {
    let folder = Folder::new();
    let mut nodes = Nodes::new(&folder);
    nodes.start();
    succeed(&mut nodes.client(1, "mover", &["-t", "to/mover", "-E"]));
    let said = |nodes: &Nodes, text: &str| nodes.services[0].said().matches(text).count();
    let backs = said(&nodes, "node 2 of the cluster is back");
    nodes.services[1].signal("-STOP");
    wait("the others miss it", PATIENCE, || {
        said(&nodes, "node 2 of the cluster does not answer") > 0
    });
    wait("its client comes in elsewhere", PATIENCE, || {
        let mut command = nodes.client(2, "mover", &["-t", "to/mover", "-E"]);
        command.output().unwrap().status.success()
    });
    nodes.publish(0, &["-t", "to/mover", "-m", "waits"]);
    nodes.services[1].signal("-CONT");
    wait("it is back", PATIENCE, || {
        said(&nodes, "node 2 of the cluster is back") > backs
    });
    let mut back = nodes.client(1, "mover", &["-t", "to/mover", "-C", "1", "-W", "10"]);
    let mut lines = String::new();
    wait("it comes back", PATIENCE, || {
        let output = back.output().unwrap();
        lines = String::from_utf8(output.stdout).unwrap();
        output.status.success()
    });
    assert_eq!(lines, "to/mover waits\n");
}

/// A node that is left without a majority says nothing, or stays so for ever when the others
/// come back; retained messages and sessions are gone then.
#[test]
fn the_loss_of_the_majority_is_told_and_mended() {
    let folder = Folder::new();
    let mut nodes = Nodes::new(&folder);
    nodes.services[0].start();
    let service = &nodes.services[0];
    wait("a lone node says what it waits for", ASSEMBLY, || {
        service.said().contains("2 of 3 nodes have to run")
    });
    nodes.start_rest();
    nodes.publish(1, &["-t", "kept/one", "-m", "1", "-r"]);
    succeed(&mut nodes.client(2, "staying", &["-t", "to/staying", "-E"]));
    nodes.publish(1, &["-t", "to/staying", "-m", "wait"]);

    nodes.services[0].kill();
    nodes.services[1].kill();
    let service = &nodes.services[2];
    wait("the node that is left says so", ASSEMBLY, || {
        service.said().contains("the cluster has no majority")
    });
    nodes.services[0].start();
    // The one that was left ends by itself and is started again, as by systemd.
    nodes.wait_for(0);
    nodes.wait_for(2);
    assert_eq!(nodes.services[2].ended, 1, "{}", nodes.last_words());
    assert!(nodes.services[2].said().contains("left over of a cluster"));
    for node in [0, 2] {
        assert_eq!(nodes.retained(node), ["kept/one 1"]);
    }
    let said = succeed(&mut nodes.client(0, "staying", &["-t", "to/staying", "-C", "1"]));
    assert_eq!(said, ["to/staying wait"]);
}

impl Nodes {
    fn start_rest(&mut self) {
        self.services[1].start();
        self.services[2].start();
        for node in 0..3 {
            self.wait_for(node);
        }
    }
}

/// A mistake in the configuration is found when a node fails, not at the start.
#[test]
fn mistakes_are_told_at_the_start() {
    let folder = Folder::new();
    let node = |id: u16, port: u16| {
        format!(
            "[[cluster.nodes]]\nid = {id}\ngrpc = \"127.0.0.1:{port}\"\nraft = \"127.0.0.1:{}\"\n",
            free_port()
        )
    };
    let other = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = other.local_addr().unwrap().port();
    let (one, two, three) = (
        node(1, free_port()),
        node(2, free_port()),
        node(3, free_port()),
    );
    let off = "[recorder]\noff = true\n";
    for (text, arguments, words) in [
        (
            format!("{off}[cluster]\n{one}{two}{three}"),
            &[][..],
            "--node 1",
        ),
        (
            format!("{off}[cluster]\nnode = 4\n{one}{two}{three}"),
            &[],
            "this is node 4",
        ),
        (
            format!("{off}[cluster]\nnode = 1\n{one}{two}"),
            &[],
            "2 nodes are not enough",
        ),
        (
            format!("[cluster]\nnode = 1\n{one}{two}{three}"),
            &[],
            "share = WORD",
        ),
        (
            format!("{off}[cluster]\n{one}{two}{}", node(3, taken)),
            &["--node", "3"],
            "cannot listen on 127.0.0.1",
        ),
        (
            off.to_owned(),
            &["--node", "3"],
            "`--node` is for a cluster",
        ),
    ] {
        let config = folder.file("hub.toml", &text);
        let mut command = aldis("hub");
        command.arg("--config").arg(&config).args(arguments);
        command
            .args(["--listen", "127.0.0.1:0", "--data"])
            .arg(folder.path());
        let (status, said) = Program::start(&mut command).finish();
        let said = said.join("\n");
        assert_eq!(status.code(), Some(1), "{said}");
        assert!(said.contains(words), "{said}");
    }
}
