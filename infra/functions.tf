# The functions, their log group, and who may call them.

# Functions need no role to write here: the platform takes their standard output (inference).
resource "yandex_logging_group" "this" {
  name             = var.name
  retention_period = "${var.log_retention_hours}h0m0s"
}

resource "yandex_function" "this" {
  for_each           = local.functions
  name               = "${var.name}-${each.key}"
  description        = each.value.description
  runtime            = each.value.runtime
  entrypoint         = "index.handler"
  memory             = each.value.memory
  execution_timeout  = tostring(each.value.timeout)
  concurrency        = each.value.concurrency
  service_account_id = yandex_iam_service_account.function[each.key].id
  environment        = local.environment[each.key]
  user_hash          = filesha256("${path.module}/../dist/${each.key}.zip")

  content {
    zip_filename = "${path.module}/../dist/${each.key}.zip"
  }

  # A version is pinned to a secret's version: rotating a secret means a new version_id and an apply.
  dynamic "secrets" {
    for_each = local.function_secrets[each.key]
    content {
      id                   = var.secrets[secrets.value].id
      version_id           = var.secrets[secrets.value].version_id
      key                  = var.secrets[secrets.value].key
      environment_variable = secrets.value
    }
  }

  # Where the store is, for a store that has no public address.
  dynamic "connectivity" {
    for_each = var.network_id != null && contains(local.store_functions, each.key) ? [var.network_id] : []
    content {
      network_id = connectivity.value
    }
  }

  log_options {
    log_group_id = yandex_logging_group.this.id
    min_level    = var.min_log_level
  }

  # 2 is off. The functions take their IAM token from the call's context; a request forged to 169.254.169.254 gets a 404.
  metadata_options {
    gce_http_endpoint    = 2
    aws_v1_http_endpoint = 2
  }

  lifecycle {
    precondition {
      condition     = local.environment_bytes[each.key] <= 4096
      error_message = "The environment of ${each.key} may take ${local.environment_bytes[each.key]} bytes, secrets included; the platform allows 4096."
    }
  }

  # A version with a secret is refused while its account may not read it.
  depends_on = [yandex_lockbox_secret_iam_member.function]
}

# Authoritative for the role: whoever is not listed may not call. functions.functionInvoker is the documented role name.
resource "yandex_function_iam_binding" "invokers" {
  for_each    = { for name, members in local.invokers : name => members if length(members) > 0 }
  function_id = yandex_function.this[each.key].id
  role        = "functions.functionInvoker"
  members     = each.value

  lifecycle {
    precondition {
      condition     = local.functions[each.key].timer == null || length(each.value) == 1
      error_message = "${each.key} has a timer: nobody else may call it, and yet it is public or the gateway names it."
    }
  }
}

locals {
  function_ids = { for name, function in yandex_function.this : name => function.id }
}
