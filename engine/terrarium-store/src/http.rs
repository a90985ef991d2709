//! As much of HTTP/1.1 as segments need to travel: one request, one answer, a connection each. Lengths and times are bounded; who
//! is at the other end may be anybody.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::{Duration, Instant};

/// Of a head, in bytes and lines.
const LONGEST_LINE: u64 = 4096;
const MOST_LINES: usize = 64;

/// How long the other side may be silent,
const SILENCE: Duration = Duration::from_secs(20);
/// and how long all may take.
const LONGEST: Duration = Duration::from_secs(300);

/// A request.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Request {
    pub(crate) method: String,
    pub(crate) path: String,
    /// What stands behind `Authorization: Bearer`.
    pub(crate) token: String,
    pub(crate) length: u64,
}

/// Reads the head of a request.
pub(crate) fn head(input: &mut impl BufRead) -> io::Result<Request> {
    let bad = |why| io::Error::new(io::ErrorKind::InvalidData, why);
    let first = line(input)?;
    let mut words = first.split(' ');
    let (Some(method), Some(path), Some(version)) = (words.next(), words.next(), words.next()) else {
        return Err(bad("it is no request"));
    };
    if !version.starts_with("HTTP/1.") {
        return Err(bad("it is not HTTP/1.1"));
    }
    let mut request =
        Request { method: method.to_owned(), path: path.to_owned(), token: String::new(), length: 0 };
    for _ in 0..MOST_LINES {
        let line = line(input)?;
        if line.is_empty() {
            return Ok(request);
        }
        let Some((name, value)) = line.split_once(':') else { return Err(bad("a line of the head is none")) };
        let value = value.trim();
        match name.to_ascii_lowercase().as_str() {
            "content-length" => request.length = value.parse().map_err(|_| bad("its length is no number"))?,
            "authorization" => request.token = value.strip_prefix("Bearer ").unwrap_or_default().to_owned(),
            "transfer-encoding" => return Err(bad("send a Content-Length")),
            _ => {}
        }
    }
    Err(bad("its head is too long"))
}

fn line(input: &mut impl BufRead) -> io::Result<String> {
    let mut bytes = Vec::new();
    input.take(LONGEST_LINE).read_until(b'\n', &mut bytes)?;
    if bytes.pop() != Some(b'\n') {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "a line of the head is too long, or cut"));
    }
    if bytes.last() == Some(&b'\r') {
        bytes.pop();
    }
    String::from_utf8(bytes).map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "its head is no text"))
}

/// Answers a request.
pub(crate) fn answer(output: &mut impl Write, status: &str, text: &str) -> io::Result<()> {
    write!(
        output,
        "HTTP/1.1 {status}\r\nContent-Type: text/plain\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{text}\n",
        text.len() + 1
    )?;
    output.flush()
}

/// Reads a body of this length, and no longer than [`LONGEST`].
pub(crate) fn body(input: &mut impl Read, length: u64) -> io::Result<Vec<u8>> {
    let began = Instant::now();
    let mut bytes = Vec::new();
    let mut left = length;
    while left > 0 {
        let read = input.by_ref().take(left.min(1 << 20)).read_to_end(&mut bytes)? as u64;
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if began.elapsed() > LONGEST {
            return Err(io::ErrorKind::TimedOut.into());
        }
        left -= read;
    }
    Ok(bytes)
}

/// Makes sure that nobody waits for ever.
pub(crate) fn patient(stream: &TcpStream) -> io::Result<()> {
    stream.set_read_timeout(Some(SILENCE))?;
    stream.set_write_timeout(Some(SILENCE))
}

/// Sends something; status and text of the answer.
pub(crate) fn put(host: &str, path: &str, token: &str, bytes: &[u8]) -> io::Result<(u16, String)> {
    let address = host.to_socket_addrs()?.next().ok_or(io::ErrorKind::AddrNotAvailable)?;
    let mut stream = TcpStream::connect_timeout(&address, SILENCE)?;
    patient(&stream)?;
    write!(
        stream,
        "PUT {path} HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {token}\r\nContent-Type: application/octet-stream\r\n\
         Content-Length: {}\r\nConnection: close\r\n\r\n",
        bytes.len()
    )?;
    // One who does not want it answers before all of it is there.
    let written = stream.write_all(bytes).and_then(|()| stream.flush());
    let mut input = BufReader::new(&stream);
    let first = match line(&mut input) {
        Ok(first) => first,
        Err(error) => return Err(written.err().unwrap_or(error)),
    };
    let status = first.split(' ').nth(1).and_then(|status| status.parse().ok());
    let status = status.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "the answer is no HTTP"))?;
    while !line(&mut input)?.is_empty() {}
    let mut text = String::new();
    let _ = input.take(1000).read_to_string(&mut text);
    Ok((status, text.trim().to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads() {
        let text = "PUT /v1/segments/ab HTTP/1.1\r\nHost: x\r\nauthorization: Bearer s3cret\r\ncontent-length: 12\r\n\r\nbody";
        let request = head(&mut text.as_bytes()).unwrap();
        assert_eq!((request.method.as_str(), request.path.as_str()), ("PUT", "/v1/segments/ab"));
        assert_eq!((request.token.as_str(), request.length), ("s3cret", 12));
        let long = format!("GET / HTTP/1.1\r\nx: {}\r\n\r\n", "y".repeat(5000));
        let many = format!("GET / HTTP/1.1\r\n{}\r\n", "x: y\r\n".repeat(100));
        for bad in [
            "",
            "GET /",
            "GET / HTTP/2\r\n\r\n",
            "PUT / HTTP/1.1\r\ncontent-length: -1\r\n\r\n",
            "PUT / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n",
            "PUT / HTTP/1.1\r\nnonsense\r\n\r\n",
            &long,
            &many,
        ] {
            assert!(head(&mut bad.as_bytes()).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_body_is_whole() {
        assert_eq!(body(&mut &b"abcdef"[..], 4).unwrap(), b"abcd");
        assert!(body(&mut &b"abc"[..], 4).is_err());
    }
}
