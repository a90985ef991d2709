//! `terrarium-store listen` and `send`: segments on their way from the nodes to the collector.
//!
//! The sender removes a segment when the receiver has it on disk and says so; what is sent twice is the same segment, by its digest.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use terrarium_usage::inbox::Inbox;
use terrarium_usage::location::make_private;

use crate::cli::{ListenArgs, SendArgs};
use crate::error::CliError;
use crate::http::{answer, body, head, patient, put};
use crate::out::{counted, note, printable, result};

/// Where segments are put.
const PATH: &str = "/v1/segments/";

/// Nodes that are served at the same time.
const MOST: usize = 16;

/// How often a node tries again, and how long it waits first.
const TRIES: u32 = 4;
const WAIT: Duration = Duration::from_millis(500);

/// A secret is at least so long.
const SHORTEST: usize = 16;

/// The secret in a file that nobody else may read.
fn token(path: &Path) -> Result<String, CliError> {
    let failed = |source| CliError::File { path: path.to_owned(), source };
    let bad = |why: &str| CliError::Usage(format!("--token-file {}: {why}", path.display()));
    let mut text = String::new();
    let file = File::open(path).map_err(failed)?;
    let meta = file.metadata().map_err(failed)?;
    if !meta.is_file() || meta.permissions().mode() & 0o077 != 0 {
        return Err(bad("others may read it (chmod 600 helps), or it is no plain file"));
    }
    file.take(4096).read_to_string(&mut text).map_err(failed)?;
    let text = text.trim();
    let is_plain = text.bytes().all(|byte| byte.is_ascii_graphic());
    if text.len() < SHORTEST || !is_plain {
        return Err(bad("write at least 16 letters and digits in one line (openssl rand -hex 32)"));
    }
    Ok(text.to_owned())
}

/// Takes as long for the first wrong byte as for the last.
fn is_same(a: &str, b: &str) -> bool {
    let different = a.bytes().zip(b.bytes()).fold(a.len() ^ b.len(), |sum, (a, b)| sum | usize::from(a ^ b));
    std::hint::black_box(different) == 0
}

/// Takes segments until it is ended.
pub(crate) fn listen(args: &ListenArgs) -> Result<u8, CliError> {
    let secret = Arc::new(token(&args.token_file)?);
    let directory = Arc::new(args.segments.clone());
    make_private(&directory).map_err(|source| CliError::File { path: args.segments.clone(), source })?;
    let listener = TcpListener::bind(&args.address)
        .map_err(|error| CliError::Usage(format!("--address {}: {error}", printable(&args.address))))?;
    let address = listener.local_addr().map_err(CliError::Write)?;
    result(format_args!("listening on {address}\n"))?;
    let busy = Arc::new(AtomicUsize::new(0));
    for stream in listener.incoming().flatten() {
        if busy.fetch_add(1, Ordering::SeqCst) >= MOST {
            busy.fetch_sub(1, Ordering::SeqCst);
            let mut stream = stream;
            let _ = patient(&stream)
                .and_then(|()| answer(&mut stream, "503 Service Unavailable", "try again later"));
            continue;
        }
        let (secret, directory, busy) = (Arc::clone(&secret), Arc::clone(&directory), Arc::clone(&busy));
        std::thread::spawn(move || {
            let _ = serve(stream, &secret, &directory);
            busy.fetch_sub(1, Ordering::SeqCst);
        });
    }
    Ok(0)
}

fn serve(mut stream: TcpStream, secret: &str, directory: &Path) -> io::Result<()> {
    patient(&stream)?;
    let mut input = BufReader::new(stream.try_clone()?);
    let (status, text) = match receive(&mut input, secret, directory) {
        Ok(said) => said,
        Err(error) if error.kind() == io::ErrorKind::InvalidData => ("400 Bad Request", error.to_string()),
        Err(error) => {
            note(format_args!("note: a segment could not be taken: {error}"));
            ("500 Internal Server Error", "it could not be stored".to_owned())
        }
    };
    answer(&mut stream, status, &text)
}

fn receive(
    input: &mut BufReader<TcpStream>,
    secret: &str,
    directory: &Path,
) -> io::Result<(&'static str, String)> {
    let request = head(input)?;
    if !is_same(&request.token, secret) {
        return Ok(("401 Unauthorized", "the token is another".to_owned()));
    }
    let Some(name) = request.path.strip_prefix(PATH).filter(|_| request.method == "PUT") else {
        return Ok(("404 Not Found", format!("PUT a segment to {PATH}DIGEST")));
    };
    let is_name = name.len() == 64 && name.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    if !is_name {
        return Ok(("400 Bad Request", "its name is no SHA-256".to_owned()));
    }
    if request.length > terrarium_segment::MOST_BYTES as u64 {
        return Ok(("413 Content Too Large", "a segment is never as long".to_owned()));
    }
    let path = directory.join(format!("{name}.segment"));
    let bytes = body(input, request.length)?;
    match terrarium_segment::read(&bytes) {
        Ok(segment) if segment.id == name => {}
        Ok(_) => return Ok(("400 Bad Request", "its digest is another".to_owned())),
        Err(error) => return Ok(("400 Bad Request", error.to_string())),
    }
    if path.exists() {
        return Ok(("200 OK", "it was here already".to_owned()));
    }
    store(directory, &path, &bytes)?;
    Ok(("201 Created", "it is on disk".to_owned()))
}

/// On disk before it has its name.
fn store(directory: &Path, path: &Path, bytes: &[u8]) -> io::Result<()> {
    static NUMBER: AtomicUsize = AtomicUsize::new(0);
    let number = NUMBER.fetch_add(1, Ordering::SeqCst);
    let new = path.with_extension(format!("{}-{number}.tmp", std::process::id()));
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new)?;
    let written = file.write_all(bytes).and_then(|()| file.sync_all()).and_then(|()| fs::rename(&new, path));
    if written.is_err() {
        let _ = fs::remove_file(&new);
    }
    written?;
    File::open(directory)?.sync_all()
}

/// Sends what is there.
pub(crate) fn send(args: &SendArgs) -> Result<u8, CliError> {
    let secret = token(&args.token_file)?;
    let host = args.to.strip_prefix("http://").map(|host| host.trim_end_matches('/'));
    let host = host.filter(|host| host.contains(':') && !host.contains('/'));
    let host =
        host.ok_or_else(|| CliError::Usage(format!("--to {}: write http://HOST:PORT", printable(&args.to))))?;
    let inbox = Inbox::new(args.segments.clone());
    let (mut sent, mut refused) = (0, 0);
    for path in inbox.files()? {
        let Ok(arrived) = inbox.read(&path)? else {
            refused += 1;
            continue;
        };
        let bytes = fs::read(&path).map_err(|source| CliError::File { path: path.clone(), source })?;
        match persistent(host, &format!("{PATH}{}", arrived.segment.id), &secret, &bytes) {
            Ok((200 | 201, _)) => {
                inbox.remove(&path)?;
                sent += 1;
            }
            Ok((status, why)) => return Err(not_sent(&path, &format!("{status} {}", printable(&why)))),
            Err(error) => return Err(not_sent(&path, &error.to_string())),
        }
    }
    if !args.quiet {
        result(format_args!("{} sent to {}\n", counted(sent, "segment"), printable(host)))?;
    }
    Ok(u8::from(refused > 0))
}

fn not_sent(path: &Path, why: &str) -> CliError {
    CliError::Usage(format!("{} stays here; it could not be sent: {why}", path.display()))
}

/// A collector that is busy, or starts again, is asked again.
fn persistent(host: &str, path: &str, secret: &str, bytes: &[u8]) -> io::Result<(u16, String)> {
    let mut wait = WAIT;
    for _ in 1..TRIES {
        match put(host, path, secret, bytes) {
            Ok((status, text)) if status < 500 => return Ok((status, text)),
            _ => std::thread::sleep(wait),
        }
        wait *= 2;
    }
    put(host, path, secret, bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use terrarium_segment::{Head, Writer};

    fn segment() -> (Vec<u8>, String) {
        Writer::new(Vec::new(), &Head::default()).unwrap().finish().unwrap()
    }

    /// A receiver that takes so many requests.
    fn receiver(directory: &Path, requests: usize) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let directory = directory.to_owned();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten().take(requests) {
                let _ = serve(stream, "0123456789abcdef", &directory);
            }
        });
        address
    }

    #[test]
    fn a_segment_arrives_once_and_nothing_else_does() {
        let directory = tempfile::tempdir().unwrap();
        let host = receiver(directory.path(), 8);
        let (bytes, id) = segment();
        let to = format!("{PATH}{id}");
        let token = "0123456789abcdef";
        let status = |path: &str, token: &str, bytes: &[u8]| put(&host, path, token, bytes).unwrap().0;
        assert_eq!(status(&to, "another", &bytes), 401);
        assert_eq!(status(&to, token, b"garbage"), 400);
        assert_eq!(status(&format!("{PATH}{}", "0".repeat(64)), token, &bytes), 400);
        assert_eq!(status(&format!("{PATH}../../etc/passwd"), token, &bytes), 400);
        assert_eq!(status("/", token, &bytes), 404);
        assert_eq!(status(&to, token, &bytes), 201);
        assert_eq!(status(&to, token, &bytes), 200);
        let mut torn = bytes.clone();
        torn.pop();
        assert_eq!(status(&to, token, &torn), 400);
        let names: Vec<_> = fs::read_dir(directory.path()).unwrap().map(|e| e.unwrap().path()).collect();
        assert_eq!(names, [directory.path().join(format!("{id}.segment"))]);
        assert_eq!(fs::metadata(&names[0]).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read(&names[0]).unwrap(), bytes);
    }

    #[test]
    fn the_secret_is_one() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("token");
        let with = |text: &str, mode: u32| {
            fs::write(&path, text).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            token(&path)
        };
        assert_eq!(with("0123456789abcdef\n", 0o600).unwrap(), "0123456789abcdef");
        assert!(with("0123456789abcdef", 0o644).is_err() && with("short", 0o600).is_err());
        assert!(with("0123456789abcdef\r\nX: y", 0o600).is_err());
        assert!(is_same("a", "a") && !is_same("a", "b") && !is_same("a", "ab"));
    }
}
