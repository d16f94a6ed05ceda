//! The status of servers and of objects.

use lsb_core::envelope::UserName;
use lsb_core::{ObjectId, UnixSeconds};
use serde::Serialize;

use super::connection::Call;
use super::{Client, ClientError, now};
use crate::api::{ObjectInfo, Role, ServerStatus};
use crate::ledger::request::{ObjectRequest, Signed};

/// The status of one server, as this client sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ServerReport {
    /// The address in the list of servers.
    pub address: String,
    /// Its name.
    pub server_id: Option<String>,
    /// Whether it answered.
    pub reachable: bool,
    /// Its role.
    pub role: Option<Role>,
    /// Its term.
    pub term: Option<u64>,
    /// The last log position that it knows to be committed.
    pub commit: Option<u64>,
    /// The last log position that it has applied.
    pub applied: Option<u64>,
    /// The name of the leader that it knows.
    pub leader: Option<String>,
    /// What is wrong with it, or why it did not answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trouble: Option<String>,
}

impl Client {
    /// Asks all servers for their status at the same time. The reports have the order of the list.
    pub async fn status(&self) -> Vec<ServerReport> {
        let call = Call::get("/v1/status");
        let mut asked = Vec::new();
        for address in self.cluster.servers() {
            let (cluster, address, call) = (
                std::sync::Arc::clone(&self.cluster),
                address.clone(),
                call.clone(),
            );
            asked.push(tokio::spawn(async move {
                let answer = cluster.ask_one::<ServerStatus>(&address, &call).await;
                report(address.to_string(), answer)
            }));
        }
        let mut reports = Vec::new();
        for (task, address) in asked.into_iter().zip(self.cluster.servers()) {
            let report = task.await;
            reports.push(report.unwrap_or_else(|error| silent(address.to_string(), error.to_string())));
        }
        reports
    }

    /// Returns the remaining views of a picture's grants. Only its owner may ask.
    ///
    /// # Errors
    ///
    /// [`ClientError`]: the picture is not this user's; no leader.
    pub async fn object(&self, owner: &UserName, object: ObjectId) -> Result<ObjectInfo, ClientError> {
        let info = self.cluster_info().await?;
        let device = self.device(info.cluster, owner)?;
        let request = ObjectRequest {
            cluster: info.cluster,
            object,
            owner: owner.clone(),
            device: device.key.public(),
            expires: UnixSeconds(now().0.saturating_add(60)),
        };
        let body = serde_json::to_vec(&Signed::sign(request, &device.key)?).map_err(ClientError::Request)?;
        self.cluster
            .ask(&Call::post("/v1/objects/query", "application/json", body))
            .await
    }
}

fn report(address: String, answer: Result<ServerStatus, ClientError>) -> ServerReport {
    match answer {
        Ok(status) => ServerReport {
            address,
            server_id: Some(status.server_id),
            reachable: true,
            role: Some(status.role),
            term: Some(status.term),
            commit: Some(status.commit),
            applied: Some(status.applied),
            leader: status.leader.map(|leader| leader.server_id),
            trouble: status.trouble,
        },
        // The address stands beside it already, and the advice below the table.
        Err(ClientError::Unreachable { servers, .. }) => silent(address, servers),
        Err(error) => silent(address, error.to_string()),
    }
}

fn silent(address: String, trouble: String) -> ServerReport {
    ServerReport {
        address,
        server_id: None,
        reachable: false,
        role: None,
        term: None,
        commit: None,
        applied: None,
        leader: None,
        trouble: Some(trouble),
    }
}
