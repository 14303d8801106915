//! What a board says on its console.

use std::io::{self, ErrorKind, Read, Write};

use serde_json::json;

/// Why there is nothing more to be followed.
#[derive(Debug)]
pub enum End {
    /// The board, or its cable, is gone.
    Gone(io::Error),
    /// Nobody reads any more.
    Unread,
}

/// A line without an end is passed on at this length.
const LONGEST: usize = 4_096;

/// Copies what comes from a port, until one side ends. A port's timeouts are only silence.
pub fn copy(mut port: impl Read, mut out: impl Write, json: bool) -> End {
    let mut buffer = [0; 1_024];
    let mut line = Vec::new();
    loop {
        let written = match port.read(&mut buffer) {
            Ok(0) => return End::Gone(ErrorKind::UnexpectedEof.into()),
            Ok(len) => {
                let bytes = buffer.get(..len).unwrap_or_default();
                match json {
                    true => objects(&mut line, bytes, &mut out),
                    false => out.write_all(bytes),
                }
            }
            // What a board said last has no end of a line, if it stopped there.
            Err(error) if is_silence(&error) => match line.is_empty() {
                true => Ok(()),
                false => object(&mut line, &mut out),
            },
            Err(error) => return End::Gone(error),
        };
        if written.and_then(|()| out.flush()).is_err() {
            return End::Unread;
        }
    }
}

fn is_silence(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::TimedOut | ErrorKind::WouldBlock | ErrorKind::Interrupted
    )
}

/// Adds to a line, and writes an object for each that is complete.
fn objects(line: &mut Vec<u8>, bytes: &[u8], out: &mut impl Write) -> io::Result<()> {
    for byte in bytes {
        match byte {
            b'\n' => object(line, out)?,
            byte => line.push(*byte),
        }
        if line.len() >= LONGEST {
            object(line, out)?;
        }
    }
    Ok(())
}

fn object(line: &mut Vec<u8>, out: &mut impl Write) -> io::Result<()> {
    let text = String::from_utf8_lossy(line);
    let text = text.trim_end_matches('\r');
    let written = writeln!(out, "{}", json!({"event": "log", "line": text}));
    line.clear();
    written
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Says these things, with silence between, and is pulled out.
    struct Board(Vec<&'static [u8]>);

    impl Read for Board {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            match self.0.pop() {
                Some(b"") => Err(ErrorKind::TimedOut.into()),
                Some(bytes) => {
                    buffer[..bytes.len()].copy_from_slice(bytes);
                    Ok(bytes.len())
                }
                None => Err(io::Error::other("pulled out")),
            }
        }
    }

    fn board() -> Board {
        let mut said: Vec<&[u8]> = vec![b"rst:0x1\r\nwi", b"", b"fi: up\r\n\xff", b"", b""];
        said.reverse();
        Board(said)
    }

    /// A board that is silent ends the following, or its last words are kept back.
    #[test]
    fn everything_is_passed_on() {
        let mut out = Vec::new();
        assert!(matches!(copy(board(), &mut out, false), End::Gone(_)));
        assert_eq!(out, b"rst:0x1\r\nwifi: up\r\n\xff");

        let mut out = Vec::new();
        assert!(matches!(copy(board(), &mut out, true), End::Gone(_)));
        let lines: Vec<String> = String::from_utf8(out)
            .unwrap()
            .lines()
            .map(|line| {
                let object: serde_json::Value = serde_json::from_str(line).unwrap();
                object["line"].as_str().unwrap().to_owned()
            })
            .collect();
        assert_eq!(lines, ["rst:0x1", "wi", "fi: up", "\u{fffd}"]);
    }

    /// A board that sends no ends of lines fills the memory.
    #[test]
    fn lines_have_an_end() {
        let mut line = Vec::new();
        let mut out = Vec::new();
        objects(&mut line, &[b'x'; 3 * LONGEST + 1], &mut out).unwrap();
        assert_eq!(
            (line.len(), out.split(|byte| *byte == b'\n').count()),
            (1, 4)
        );
    }

    /// `aldis flash | head` goes on for ever.
    #[test]
    fn a_reader_that_leaves_ends_it() {
        struct Nobody;
        impl Write for Nobody {
            fn write(&mut self, _: &[u8]) -> io::Result<usize> {
                Err(ErrorKind::BrokenPipe.into())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        assert!(matches!(copy(board(), Nobody, false), End::Unread));
    }
}
