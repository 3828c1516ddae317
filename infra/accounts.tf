# One service account per purpose, each with the rights for that and no other.
#
# role                        on                  known from
# functions.functionInvoker   a function          documented (functions.tf)
# lockbox.payloadViewer       a secret            documented
# ydb.editor                  the database        inference: the least role that is known to write items
# ymq.writer, ymq.admin       the folder          inference: no smaller scope is known for a queue

# What a function runs as. One each: a function's IAM token opens no other function's secrets.
resource "yandex_iam_service_account" "function" {
  for_each    = local.functions
  name        = "${var.name}-${each.key}"
  description = "Runs ${each.key}"
}

# As a member, not a binding: the secrets are not ours and others may read them too.
resource "yandex_lockbox_secret_iam_member" "function" {
  for_each = {
    for pair in distinct(flatten([
      for name, secrets in local.function_secrets : [for key in secrets : "${name}/${var.secrets[key].id}"]
    ])) : pair => { function = split("/", pair)[0], secret_id = split("/", pair)[1] }
  }
  secret_id = each.value.secret_id
  role      = "lockbox.payloadViewer"
  member    = "serviceAccount:${yandex_iam_service_account.function[each.value.function].id}"
}

# What the gateway calls functions and authorizers as.
resource "yandex_iam_service_account" "gateway" {
  count       = local.has_gateway ? 1 : 0
  name        = "${var.name}-gateway"
  description = "Calls the functions that the gateway names"
}

# What timers call functions as, and what puts their failures into the dead-letter queue.
resource "yandex_iam_service_account" "trigger" {
  count       = length(local.timers) > 0 ? 1 : 0
  name        = "${var.name}-trigger"
  description = "Calls the timer functions"
}

resource "yandex_resourcemanager_folder_iam_member" "trigger_queue" {
  count     = length(local.timers) > 0 ? 1 : 0
  folder_id = var.folder_id
  role      = "ymq.writer"
  member    = "serviceAccount:${local.trigger_account}"
}

# What Terraform makes the queue as: the queue API takes a static key, not an IAM token.
resource "yandex_iam_service_account" "queue" {
  count       = length(local.timers) > 0 ? 1 : 0
  name        = "${var.name}-queue"
  description = "Makes the dead-letter queue"
}

resource "yandex_resourcemanager_folder_iam_member" "queue" {
  count     = length(local.timers) > 0 ? 1 : 0
  folder_id = var.folder_id
  role      = "ymq.admin"
  member    = "serviceAccount:${yandex_iam_service_account.queue[0].id}"
}

# The one secret in the state. `output_to_lockbox` would keep it out, but then nothing could hand it to the queue
# resource without reading it back into the state.
resource "yandex_iam_service_account_static_access_key" "queue" {
  count              = length(local.timers) > 0 ? 1 : 0
  service_account_id = yandex_iam_service_account.queue[0].id
  depends_on         = [yandex_resourcemanager_folder_iam_member.queue]
}

locals {
  gateway_account = one(yandex_iam_service_account.gateway[*].id)
  trigger_account = one(yandex_iam_service_account.trigger[*].id)
}
