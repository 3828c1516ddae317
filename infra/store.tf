# The document tables in it are made by `npm run migrate`: the provider has no resource for them.
resource "yandex_ydb_database_serverless" "store" {
  count               = var.ydb_store ? 1 : 0
  name                = var.name
  deletion_protection = var.deletion_protection
}

resource "yandex_ydb_database_iam_binding" "store" {
  count       = var.ydb_store && length(local.store_functions) > 0 ? 1 : 0
  database_id = yandex_ydb_database_serverless.store[0].id
  role        = "ydb.editor"
  members     = [for name in local.store_functions : "serviceAccount:${yandex_iam_service_account.function[name].id}"]
}

locals {
  document_api_endpoint = one(yandex_ydb_database_serverless.store[*].document_api_endpoint)
  ydb_store_url         = var.ydb_store ? "dynamodb+${local.document_api_endpoint}?region=ru-central1&table=${var.name}&auth=iam" : null
}
