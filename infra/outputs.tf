# Read by the smoke calls and by migrations: terraform output -json. Nothing here is secret. An output without a value
# is missing there.

output "document_api_endpoint" {
  description = "HTTP Document API of the YDB database; none without one."
  value       = local.document_api_endpoint
}

output "store_url" {
  description = "STORE_URL as the functions get it; none when it comes from Lockbox or is not set."
  value       = contains(keys(var.secrets), "STORE_URL") ? null : try(local.given.STORE_URL, null)
}

output "gateway_domain" {
  description = "Host name of the gateway; none when no enabled function has an operation."
  value       = one(yandex_api_gateway.this[*].domain)
}

output "gateway_url" {
  description = "For smoke --gateway-url; none without a gateway."
  value       = local.has_gateway ? "https://${yandex_api_gateway.this[0].domain}" : null
}

output "context_prefix" {
  description = "What the paths of the Blitz API begin with; smoke calls them so."
  value       = var.context_prefix
}

output "shop_origins" {
  description = "SHOP_ORIGINS as social-unlink gets it, for smoke --shop-origin; none when it comes from Lockbox or is not set."
  value       = try(compact([for origin in split(",", local.environment["social-unlink"].SHOP_ORIGINS) : trimspace(origin)]), null)
}

output "bind_providers" {
  description = "Providers that accounts can be bound at, for smoke --bind-provider."
  value       = try([for provider in jsondecode(local.providers_json) : "${provider.type}:${provider.name}" if try(provider.bind, null) != null], [])
}

output "functions_url" {
  description = "For smoke --functions-url."
  value       = "https://functions.yandexcloud.net"
}

output "function_ids" {
  description = "Id of each function by its name in functions.yaml."
  value       = local.function_ids
}

output "raw_urls" {
  description = "Raw URL of each function; only those of public_functions answer without an IAM token."
  value       = { for name, id in local.function_ids : name => "https://functions.yandexcloud.net/${id}?integration=raw" }
}

output "public_functions" {
  description = "Functions that anybody may call."
  value       = local.public_functions
}

output "log_group_id" {
  description = "Where the functions and the gateway log."
  value       = yandex_logging_group.this.id
}

output "dead_letter_queue_arn" {
  description = "Where calls of timers end that failed to the last attempt; none without timers."
  value       = one(yandex_message_queue.dead_letters[*].arn)
}

output "dashboard_id" {
  description = "The dashboard in Monitoring."
  value       = yandex_monitoring_dashboard.this.id
}
