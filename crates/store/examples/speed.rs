//! Prints what a small transaction and a get cost in a file: `cargo run -p store --example speed`.

use std::time::Instant;
use store::{Durability, Sqlite, Store, StoreError, Txn};

const ROUNDS: u32 = 5_000;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let path = std::env::temp_dir().join(format!("store-speed-{}.db", std::process::id()));
    for durability in [Durability::Process, Durability::Power] {
        let measured = measure(&path, durability).await;
        for end in ["", "-wal", "-shm"] {
            let mut file = path.clone().into_os_string();
            file.push(end);
            let _ = std::fs::remove_file(file);
        }
        let (txn, get) = measured?;
        println!("{durability:?}: txn {txn:.1} us, get {get:.1} us");
    }
    Ok(())
}

async fn measure(path: &std::path::Path, durability: Durability) -> Result<(f64, f64), StoreError> {
    let store = Sqlite::open_with(path, durability)?;
    let value = vec![b'x'; 300];
    let begin = Instant::now();
    for number in 0..ROUNDS {
        store
            .txn(Txn::new().put(format!("endpoint/{}", number % 100), value.clone()))
            .await?;
    }
    let txn = begin.elapsed().as_secs_f64() * 1e6 / f64::from(ROUNDS);
    let begin = Instant::now();
    for number in 0..ROUNDS {
        store.get(&format!("endpoint/{}", number % 100)).await?;
    }
    Ok((txn, begin.elapsed().as_secs_f64() * 1e6 / f64::from(ROUNDS)))
}
