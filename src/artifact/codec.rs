//! The two compressions that hosts can undo, with settings that were measured on `node_modules`.
//! The same input gives the same output, whatever the number of cores here.

use std::io::{self, Write};
use std::sync::Arc;

use flate2::{Compression, GzBuilder, write::GzEncoder};
use zstd::stream::write::Encoder as ZstdEncoder;
use zstd::zstd_safe::CParameter;

use super::pace::{Gauge, Pace};
use crate::config::{Address, Host};

/// zstd's window of 16 MiB: finds the copies that a JavaScript tree is full of, and costs a host 21 MB.
pub(super) const WINDOW_LOG: u32 = 24;
/// Fixed, since the number of workers shapes the output.
const WORKERS: u32 = 2;

/// How far the slowest way is that an archive goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// To hosts that are this machine: nothing is gained by fewer bytes.
    Here,
    /// To hosts over SSH.
    Wire,
}

impl Way {
    /// The one archive for all these hosts is made for the slowest way among theirs.
    pub fn slowest(hosts: &[Host]) -> Way {
        if hosts.iter().all(|host| host.address == Address::Local) { Way::Here } else { Way::Wire }
    }
}

/// How an archive is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Codec {
    /// For hosts that have `zstd`.
    Zstd,
    /// For all others.
    Gzip,
}

impl Codec {
    /// The name of the program that undoes it.
    pub fn word(self) -> &'static str {
        match self {
            Codec::Zstd => "zstd",
            Codec::Gzip => "gzip",
        }
    }

    /// The level: what is best at 100 Mbit/s. A Next.js release of 39 MB becomes, with zstd's levels 1, 3, 6 and 9, 12.5,
    /// 11.4, 10.8 and 10.4 MB in 0.23, 0.56, 0.98 and 1.51 s of processor time. How fast a link is shows only when
    /// something large is sent: `Encoder::paced` goes on from here. What the third is to zstd the fourth is to gzip: the
    /// sixth takes 1.8 times its time for 4 % fewer bytes.
    fn level(self, way: Way) -> u32 {
        match (self, way) {
            (_, Way::Here) => 1,
            (Codec::Zstd, Way::Wire) => 3,
            (Codec::Gzip, Way::Wire) => 4,
        }
    }

    /// Compresses what is written into `out`.
    pub fn encoder<W: Write>(self, way: Way, out: W) -> io::Result<Encoder<W>> {
        let level = self.level(way);
        let out = Counted { out, bytes: 0 };
        let kind = match self {
            Codec::Zstd => {
                let mut encoder = ZstdEncoder::new(out, level.cast_signed())?;
                encoder.long_distance_matching(true)?;
                encoder.window_log(WINDOW_LOG)?;
                encoder.set_parameter(CParameter::NbWorkers(WORKERS))?;
                encoder.include_checksum(true)?;
                Kind::Zstd(encoder)
            }
            // No name and no time in the header: both would make equal content differ.
            Codec::Gzip => Kind::Gzip(GzBuilder::new().write(out, Compression::new(level))),
        };
        Ok(Encoder { kind, level, pace: None })
    }
}

/// A writer that compresses; nothing is complete before `finish`.
pub struct Encoder<W: Write> {
    kind: Kind<W>,
    level: u32,
    pace: Option<Pace>,
}

enum Kind<W: Write> {
    Zstd(ZstdEncoder<'static, Counted<W>>),
    Gzip(GzEncoder<Counted<W>>),
}

/// What comes out, counted.
struct Counted<W> {
    out: W,
    bytes: u64,
}

impl<W: Write> Encoder<W> {
    /// Keeps to the pace of the link that its output goes to: the slower that is, the tighter is packed. The output then
    /// depends on the link, too. Only zstd can change its level on the way; over no wire nothing is gained by that.
    pub fn paced(mut self, way: Way, gauge: Arc<Gauge>) -> Encoder<W> {
        self.pace = Some(Pace::new(gauge, way == Way::Wire && matches!(self.kind, Kind::Zstd(_))));
        self
    }

    /// How many bytes have come out, of all that went in until now.
    pub fn passed(&mut self) -> io::Result<u64> {
        self.flush()?;
        Ok(match &self.kind {
            Kind::Zstd(encoder) => encoder.get_ref().bytes,
            Kind::Gzip(encoder) => encoder.get_ref().bytes,
        })
    }

    /// Writes what is left and gives the inner writer back.
    pub fn finish(self) -> io::Result<W> {
        Ok(match self.kind {
            Kind::Zstd(encoder) => encoder.finish()?.out,
            Kind::Gzip(encoder) => encoder.finish()?.out,
        })
    }
}

impl<W: Write> Write for Encoder<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let n = match &mut self.kind {
            Kind::Zstd(encoder) => encoder.write(bytes),
            Kind::Gzip(encoder) => encoder.write(bytes),
        }?;
        if let Some(level) = self.pace.as_mut().and_then(|pace| pace.after(n, self.level))
            && let Kind::Zstd(encoder) = &mut self.kind
        {
            encoder.set_parameter(CParameter::CompressionLevel(level.cast_signed()))?;
            self.level = level;
        }
        Ok(n)
    }

    fn flush(&mut self) -> io::Result<()> {
        match &mut self.kind {
            Kind::Zstd(encoder) => encoder.flush(),
            Kind::Gzip(encoder) => encoder.flush(),
        }
    }
}

impl<W: Write> Write for Counted<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let n = self.out.write(bytes)?;
        self.bytes += n as u64;
        Ok(n)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_host_over_ssh_makes_the_archive_for_all() {
        let host = |address| Host { name: "x".into(), address };
        let here = host(Address::Local);
        let there = host(Address::Ssh { user: None, host: "web1".into(), port: None });
        assert_eq!(Way::slowest(std::slice::from_ref(&here)), Way::Here);
        assert_eq!(Way::slowest(&[here, there]), Way::Wire);
    }

    #[test]
    fn what_goes_over_a_wire_is_packed_tighter() {
        let text =
            [&include_bytes!("../../README.md")[..], include_bytes!("../../Cargo.lock"), include_bytes!("delta.rs")];
        let text = text.concat();
        for codec in [Codec::Zstd, Codec::Gzip] {
            let packed = |way| {
                let mut encoder = codec.encoder(way, Vec::new()).unwrap();
                encoder.write_all(&text).unwrap();
                encoder.finish().unwrap().len()
            };
            assert!(packed(Way::Wire) < packed(Way::Here), "{codec:?}");
        }
    }
}
