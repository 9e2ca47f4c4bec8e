//! Operations as plans show them.

/// Operation as shown in plans.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OperationRef {
    /// Key of the operation.
    pub key: String,
    /// `operationId` of the operation. `None`: the document sets none.
    pub id: Option<String>,
    /// HTTP method.
    pub method: String,
    /// Path template, with the base path of the mount.
    pub path: String,
    /// Name of the mount.
    pub mount: String,
    /// Host at which the operation is served. If there are several: one of them. Empty: any host.
    pub host: String,
    /// Name of the API.
    pub api: String,
}
