//! The view service: decides who is primary. One runs for each cluster.

use std::{path::PathBuf, process::ExitCode};

use clap::Parser;
use pbkv::{
    process::{self, Listener, Span, logs::LogArgs},
    protocol::{
        identity::Generation,
        options::ViewServiceOptions,
        view::{Members, Record},
    },
    server::{
        clock::SystemClock,
        view::{ViewConfig, ViewServer},
    },
    storage::record_file::RecordFile,
    wire::view_service_server::ViewServiceServer,
};

/// The view service of a pbkv cluster: hears the servers, decides who is primary and who is backup
#[derive(Parser, Debug)]
#[command(version, max_term_width = 100)]
struct Args {
    /// Address to listen on, host:port; port 0 picks a free one
    #[arg(long, default_value = "localhost:8000")]
    addr: String,
    /// Folder of the one record that must survive a restart
    #[arg(long, default_value = "viewservice.data")]
    dir: PathBuf,
    /// Copies of the data to strive for, the primary included
    #[arg(long, default_value_t = ViewServiceOptions::default().replicas)]
    replicas: usize,
    /// A server not heard for this long is dead
    #[arg(long, default_value_t = Span(ViewServiceOptions::default().dead_after), value_name = "TIME")]
    dead_after: Span,
    /// A new backup that makes no progress for this long is replaced
    #[arg(long, default_value_t = Span(ViewServiceOptions::default().join_stall_max), value_name = "TIME")]
    join_stall_max: Span,
    /// A server that the primary cannot reach is not used for this long, longer if it happens again,
    #[arg(long, default_value_t = Span(ViewServiceOptions::default().suspicion_min), value_name = "TIME")]
    suspicion_min: Span,
    /// up to this long
    #[arg(long, default_value_t = Span(ViewServiceOptions::default().suspicion_max), value_name = "TIME")]
    suspicion_max: Span,
    /// How often the views are looked after when no server is heard
    #[arg(long, default_value_t = Span(ViewServiceOptions::default().policy_interval), value_name = "TIME")]
    policy_interval: Span,
    /// Servers kept in mind at once
    #[arg(long, default_value_t = ViewServiceOptions::default().servers_max, value_name = "N")]
    servers_max: usize,
    /// Declare the data of this generation lost, then exit. Only when no server that held all of it can come back: the
    /// cluster starts again empty, as the next generation. Stop the view service before, start it (without
    /// this) and empty servers after
    #[arg(long, value_name = "GENERATION")]
    accept_data_loss: Option<u64>,
    #[command(flatten)]
    logs: LogArgs,
}

impl Args {
    fn options(&self) -> ViewServiceOptions {
        ViewServiceOptions {
            replicas: self.replicas,
            dead_after: self.dead_after.0,
            join_stall_max: self.join_stall_max.0,
            suspicion_min: self.suspicion_min.0,
            suspicion_max: self.suspicion_max.0,
            policy_interval: self.policy_interval.0,
            servers_max: self.servers_max,
        }
    }
}

fn main() -> ExitCode {
    let args = Args::parse();
    let _logs = match args.logs.start("viewservice", "info") {
        Ok(logs) => logs,
        Err(why) => return process::fail(why),
    };
    let run = async {
        match args.accept_data_loss {
            Some(generation) => accept_data_loss(&args, Generation(generation)),
            None => serve(&args).await,
        }
    };
    match process::block_on(run) {
        Ok(Ok(())) => ExitCode::SUCCESS,
        Ok(Err(why)) => process::fail(why),
        Err(error) => process::fail(error),
    }
}

async fn serve(args: &Args) -> Result<(), String> {
    let options = args.options();
    options.validate()?;
    let listener = Listener::bind(&args.addr).await?;
    let (record, storage) = RecordFile::open(&args.dir).map_err(|error| error.to_string())?;
    let (generation, view) = (record.generation, record.number);
    let mut server =
        ViewServer::start(ViewConfig { record, epoch: rand::random(), options }, storage, SystemClock, ());
    let address = process::bound(&args.addr, &listener)?;
    let router = tonic::transport::Server::builder().add_service(ViewServiceServer::new(server.service()));
    process::ready(&address)?;
    tracing::info!(%address, dir = %args.dir.display(), %generation, %view, "the view service is listening");
    tokio::select! {
        biased;
        signal = process::shutdown() => {
            tracing::info!(signal, "stopped");
            Ok(())
        }
        error = server.failed() => Err(error.to_string()),
        served = listener.serve(router) => served,
    }
}

/// The next generation starts without a view; numbers go on, so that nobody takes an old view for a new one.
fn accept_data_loss(args: &Args, lost: Generation) -> Result<(), String> {
    let (record, mut storage) = RecordFile::open(&args.dir).map_err(|error| error.to_string())?;
    if record.view.is_none() {
        return Err(format!(
            "there is no data in {} that could be lost: no server was accepted yet (generation {})",
            args.dir.display(),
            record.generation.0
        ));
    }
    if record.generation != lost {
        return Err(format!(
            "the current generation is {}, not {}; look at 'testclient view' and say which one is lost",
            record.generation.0, lost.0
        ));
    }
    let next = Record { generation: lost.next(), number: record.number, view: None, stable: Members::new() };
    storage.replace(&next).map_err(|error| error.to_string())?;
    tracing::warn!(lost = %lost, current = %next.generation, "the data is declared lost");
    println!(
        "generation {} is lost, generation {} begins; now start the view service and empty servers",
        lost.0, next.generation.0
    );
    Ok(())
}
