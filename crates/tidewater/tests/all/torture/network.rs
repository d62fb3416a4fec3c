//! Requests and answers that are slow, cut, half sent or come twice, with idempotency keys.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use super::{Random, amount, bar, figure, seed};
use crate::crash::{CALM, FAST};
use crate::harness::{Server, TOKEN, folder};
use crate::oracle::{Key, Known, request};

/// What becomes of one connection.
#[derive(Debug, Clone, Copy)]
enum Fate {
    Whole,
    /// Pieces of so many bytes, with a pause between them.
    Slow(usize),
    /// So many bytes of the request arrive, then it is over.
    HalfSent(usize),
    /// The request arrives, and so many bytes of the answer.
    HalfAnswered(usize),
    /// The request arrives a second time on a connection of its own.
    Twice,
}

impl Fate {
    const COUNT: usize = 5;

    fn new(random: &mut Random) -> Self {
        match random.below(8) {
            0 => Fate::Slow(1 + random.below(200) as usize),
            1 => Fate::HalfSent(1 + random.below(900) as usize),
            2 | 3 => Fate::HalfAnswered(random.below(120) as usize),
            4 | 5 => Fate::Twice,
            _ => Fate::Whole,
        }
    }

    fn number(self) -> usize {
        match self {
            Fate::Whole => 0,
            Fate::Slow(_) => 1,
            Fate::HalfSent(_) => 2,
            Fate::HalfAnswered(_) => 3,
            Fate::Twice => 4,
        }
    }
}

/// Stands between clients and a server on loopback.
struct Proxy {
    server: String,
    random: Mutex<Random>,
    met: [AtomicU64; Fate::COUNT],
}

impl Proxy {
    fn pass(&self, client: TcpStream) -> std::io::Result<()> {
        let fate = Fate::new(&mut self.random.lock().expect("no connection panics"));
        self.met[fate.number()].fetch_add(1, Relaxed);
        let request = read_request(&client)?;
        let mut server = TcpStream::connect(&self.server)?;
        match fate {
            Fate::HalfSent(n) => {
                server.write_all(&request[..n.min(request.len().saturating_sub(1))])?;
                server.shutdown(Shutdown::Both)?;
                return client.shutdown(Shutdown::Both);
            }
            Fate::Slow(piece) => {
                for part in request.chunks(piece) {
                    server.write_all(part)?;
                    std::thread::sleep(Duration::from_millis(1)); // the pace of a bad line
                }
            }
            _ => server.write_all(&request)?,
        }
        if let Fate::Twice = fate {
            let mut again = TcpStream::connect(&self.server)?;
            again.write_all(&request)?;
            again.read_to_end(&mut Vec::new())?;
        }
        let mut answer = Vec::new();
        server.read_to_end(&mut answer)?;
        let answer = if let Fate::HalfAnswered(n) = fate { &answer[..n.min(answer.len())] } else { &answer };
        (&client).write_all(answer)?;
        client.shutdown(Shutdown::Both)
    }
}

/// Head and body of one request.
fn read_request(mut client: &TcpStream) -> std::io::Result<Vec<u8>> {
    client.set_read_timeout(Some(Duration::from_secs(10)))?;
    let (mut request, mut part) = (Vec::new(), [0; 4096]);
    loop {
        if let Some(head) = request.windows(4).position(|w| w == b"\r\n\r\n") {
            let text = String::from_utf8_lossy(&request[..head]).to_ascii_lowercase();
            let length = text.lines().find_map(|l| l.strip_prefix("content-length:")?.trim().parse::<usize>().ok());
            if request.len() >= head + 4 + length.unwrap_or(0) {
                return Ok(request);
            }
        }
        match client.read(&mut part)? {
            0 => return Ok(request),
            n => request.extend_from_slice(&part[..n]),
        }
    }
}

/// Sends a request until it is acknowledged; how often.
fn insist(address: &str, key: Key) -> u64 {
    const MOST_TRIES: u64 = 100;
    let (path, headers, body) = request(key);
    let mut head = format!(
        "POST {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\nAuthorization: Bearer {TOKEN}\r\n\
         Idempotency-Key: {}-{}\r\nContent-Length: {}\r\n",
        key.0,
        key.1,
        body.len()
    );
    headers.iter().for_each(|(name, value)| head += &format!("{name}: {value}\r\n"));
    let bytes = [format!("{head}\r\n").as_bytes(), &body].concat();
    for tries in 1..=MOST_TRIES {
        let asked = || -> std::io::Result<Vec<u8>> {
            let mut stream = TcpStream::connect(address)?;
            stream.set_read_timeout(Some(Duration::from_secs(30)))?;
            stream.write_all(&bytes)?;
            let mut answer = Vec::new();
            stream.read_to_end(&mut answer)?;
            Ok(answer)
        };
        // half an answer is no answer: what counts is its end
        match asked() {
            Ok(answer) if answer.starts_with(b"HTTP/1.1 204") && answer.ends_with(b"\r\n\r\n") => return tries,
            Ok(answer) if answer.starts_with(b"HTTP/1.1 4") => panic!("{key:?}: {}", String::from_utf8_lossy(&answer)),
            _ => {}
        }
    }
    panic!("{key:?} is not acknowledged after {MOST_TRIES} tries");
}

#[test]
fn requests_over_a_bad_network_are_stored_once_when_they_have_a_key() {
    /// Those that an idempotency key holds for: writes.
    const CLIENTS: [i64; 4] = [0, 1, 2, 3];
    let requests = amount(200);
    let dir = folder();
    let server = Server::start(dir.path(), &FAST);
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("bound").to_string();
    let proxy =
        Proxy { server: server.address().to_owned(), random: Mutex::new(Random(seed())), met: Default::default() };
    let (over, tries, bar) = (AtomicBool::new(false), AtomicU64::new(0), bar("requests", requests));
    let mut known = Known::new();
    std::thread::scope(|scope| {
        let (proxy, over, tries, bar, address) = (&proxy, &over, &tries, &bar, &address);
        scope.spawn(move || {
            for client in listener.incoming().flatten() {
                if over.load(Relaxed) {
                    break;
                }
                scope.spawn(move || proxy.pass(client));
            }
        });
        let clients = CLIENTS.map(|client| {
            scope.spawn(move || {
                for sequence in 0..(requests / CLIENTS.len() as u64) as i64 {
                    tries.fetch_add(insist(address, (client, sequence)), Relaxed);
                    bar.inc(1);
                }
            })
        });
        let ends = clients.map(|client| client.join());
        over.store(true, Relaxed);
        let _ = TcpStream::connect(address);
        ends.into_iter().for_each(|end| end.expect("every request is acknowledged"));
    });
    bar.finish_and_clear();
    for client in CLIENTS {
        (0..(requests / CLIENTS.len() as u64) as i64).for_each(|sequence| known.note((client, sequence), Some(204)));
    }
    known.check(&server).unwrap();
    drop(server);
    let server = Server::start(dir.path(), &CALM);
    known.check(&server).unwrap();
    let [whole, slow, half_sent, half_answered, twice] = proxy.met.map(AtomicU64::into_inner);
    figure(
        "network",
        &format!(
            "{requests} requests by {} tries: {whole} passed, {slow} slow, {half_sent} half sent, {half_answered} half answered, \
             {twice} delivered twice; 0 lost, 0 doubled, also after a restart",
            tries.into_inner()
        ),
    );
    assert!([slow, half_sent, half_answered, twice].iter().all(|n| *n > 0), "every fate was met");
}
