//! One request over one connection, as bytes: says exactly how it failed. Knows HTTP/1.1 as far as node, nginx and Caddy
//! speak it here; never sends anything again.

use std::io;
use std::net::Ipv4Addr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// How a request failed.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Fault {
    /// Nobody listens.
    Refused,
    /// Ended by the other side, before a byte of the answer.
    Closed,
    /// Ended by the other side, within the answer.
    Cut,
    /// Answered, with another status than 200.
    Status(u16),
    /// Answered with 200, but not what was asked for.
    Wrong,
    /// Not answered for too long.
    Hung,
}

/// An open connection.
#[derive(Debug)]
pub(crate) struct Wire {
    stream: TcpStream,
    /// Whether it has served a request.
    pub(crate) used: bool,
}

/// What came back.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: Vec<u8>,
    /// Whether the connection may be used again.
    pub(crate) stays: bool,
}

/// More than any answer here has.
const MOST: usize = 1 << 20;

impl Wire {
    pub(crate) async fn open(port: u16) -> Result<Wire, Fault> {
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await.map_err(|_| Fault::Refused)?;
        stream.set_nodelay(true).map_err(|_| Fault::Refused)?;
        Ok(Wire { stream, used: false })
    }

    /// Whether the other side has ended it, as every client looks before it uses a connection again.
    pub(crate) fn is_over(&self) -> bool {
        !matches!(self.stream.try_read(&mut [0; 1]), Err(error) if error.kind() == io::ErrorKind::WouldBlock)
    }

    /// Sends one request and reads its answer.
    pub(crate) async fn exchange(&mut self, request: &[u8]) -> Result<Answer, Fault> {
        self.used = true;
        // What can't be sent may have been answered all the same: the answer decides.
        let _ = self.stream.write_all(request).await;
        let mut got = Vec::new();
        let head = loop {
            if let Some(end) = find(&got, b"\r\n\r\n") {
                break String::from_utf8_lossy(&got.drain(..end + 4).collect::<Vec<_>>()).to_ascii_lowercase();
            }
            self.more(&mut got).await?;
        };
        let status = head.split(' ').nth(1).and_then(|code| code.parse().ok()).ok_or(Fault::Wrong)?;
        let header = |name: &str| {
            let mut lines = head.split("\r\n").filter_map(|line| line.split_once(':'));
            lines.find(|(of, _)| *of == name).map(|(_, value)| value.trim().to_owned())
        };
        let mut stays = header("connection").is_none_or(|value| value != "close");
        let body = if let Some(length) = header("content-length") {
            let length: usize = length.parse().map_err(|_| Fault::Wrong)?;
            while got.len() < length {
                self.more_of_body(&mut got).await?;
            }
            stays &= got.len() == length;
            got.truncate(length);
            got
        } else if header("transfer-encoding").is_some_and(|value| value == "chunked") {
            let body = self.chunks(&mut got).await?;
            stays &= got.is_empty();
            body
        } else {
            return Err(Fault::Wrong);
        };
        Ok(Answer { status, body, stays })
    }

    async fn chunks(&mut self, got: &mut Vec<u8>) -> Result<Vec<u8>, Fault> {
        let mut body = Vec::new();
        loop {
            let end = loop {
                match find(got, b"\r\n") {
                    Some(end) => break end,
                    None => self.more_of_body(got).await?,
                }
            };
            let line: Vec<u8> = got.drain(..end + 2).collect();
            let size = std::str::from_utf8(&line[..end]).ok().and_then(|text| usize::from_str_radix(text, 16).ok());
            let size = size.ok_or(Fault::Wrong)?;
            while got.len() < size + 2 {
                self.more_of_body(got).await?;
            }
            body.extend(got.drain(..size));
            if got.drain(..2).ne(*b"\r\n") {
                return Err(Fault::Wrong);
            }
            if size == 0 {
                return Ok(body);
            }
        }
    }

    async fn more(&mut self, got: &mut Vec<u8>) -> Result<(), Fault> {
        match self.stream.read_buf(got).await {
            Ok(1..) if got.len() < MOST => Ok(()),
            Ok(1..) => Err(Fault::Wrong),
            _ if got.is_empty() => Err(Fault::Closed),
            _ => Err(Fault::Cut),
        }
    }

    /// The head has come: whatever ends it now ends it within the answer.
    async fn more_of_body(&mut self, got: &mut Vec<u8>) -> Result<(), Fault> {
        self.more(got).await.map_err(|fault| if fault == Fault::Closed { Fault::Cut } else { fault })
    }
}

fn find(text: &[u8], what: &[u8]) -> Option<usize> {
    text.windows(what.len()).position(|window| window == what)
}

impl std::fmt::Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Fault::Refused => f.write_str("refused"),
            Fault::Closed => f.write_str("closed unanswered"),
            Fault::Cut => f.write_str("cut within the answer"),
            Fault::Status(code) => write!(f, "status {code}"),
            Fault::Wrong => f.write_str("wrong answer"),
            Fault::Hung => f.write_str("hung"),
        }
    }
}
