//! The two compressions that hosts can undo, with settings that were measured on `node_modules`.
//! The same input gives the same output, whatever the number of cores here.

use std::io::{self, Write};

use flate2::{Compression, GzBuilder, write::GzEncoder};
use zstd::stream::write::Encoder as ZstdEncoder;
use zstd::zstd_safe::CParameter;

use crate::config::{Address, Host};

/// zstd's window of 16 MiB: finds the copies that a JavaScript tree is full of, and costs a host 21 MB.
const WINDOW_LOG: u32 = 24;
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

    /// The level. One for all links. A Next.js release of 39 MB becomes, with zstd's levels 1, 3, 6 and 9, 12.5, 11.4, 10.8
    /// and 10.4 MB in 0.23, 0.56, 0.98 and 1.51 s of processor time; so, reckoned for two workers and a way that begins when
    /// all is packed, it is there after 5.1, 4.9, 4.8 and 4.9 s at 20 Mbit/s, 1.1, 1.2, 1.4 and 1.6 s at 100 Mbit/s. How fast
    /// a link is can't be known before something large was sent, and the third level is never far from the best. What it
    /// is to zstd the fourth is to gzip: the sixth takes 1.8 times its time for 4 % fewer bytes.
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
        match self {
            Codec::Zstd => {
                let mut encoder = ZstdEncoder::new(out, level.cast_signed())?;
                encoder.long_distance_matching(true)?;
                encoder.window_log(WINDOW_LOG)?;
                encoder.set_parameter(CParameter::NbWorkers(WORKERS))?;
                encoder.include_checksum(true)?;
                Ok(Encoder::Zstd(encoder))
            }
            // No name and no time in the header: both would make equal content differ.
            Codec::Gzip => Ok(Encoder::Gzip(GzBuilder::new().write(out, Compression::new(level)))),
        }
    }
}

/// A writer that compresses; nothing is complete before `finish`.
pub enum Encoder<W: Write> {
    /// See `Codec::Zstd`.
    Zstd(ZstdEncoder<'static, W>),
    /// See `Codec::Gzip`.
    Gzip(GzEncoder<W>),
}

impl<W: Write> Encoder<W> {
    /// Writes what is left and gives the inner writer back.
    pub fn finish(self) -> io::Result<W> {
        match self {
            Encoder::Zstd(encoder) => encoder.finish(),
            Encoder::Gzip(encoder) => encoder.finish(),
        }
    }
}

impl<W: Write> Write for Encoder<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Encoder::Zstd(encoder) => encoder.write(bytes),
            Encoder::Gzip(encoder) => encoder.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Encoder::Zstd(encoder) => encoder.flush(),
            Encoder::Gzip(encoder) => encoder.flush(),
        }
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
