# A timer for each enabled row with `timer`, and one queue for the calls that failed to the last attempt. Without it
# the platform drops them.
resource "yandex_message_queue" "dead_letters" {
  count                     = length(local.timers) > 0 ? 1 : 0
  name                      = "${var.name}-dead-letters" # a standard queue: a trigger takes no FIFO one
  message_retention_seconds = 1209600                    # 14 days, the most there is
  access_key                = yandex_iam_service_account_static_access_key.queue[0].access_key
  secret_key                = yandex_iam_service_account_static_access_key.queue[0].secret_key
}

resource "yandex_function_trigger" "timer" {
  for_each = local.timers
  name     = "${var.name}-${each.key}"

  timer {
    cron_expression = each.value.cron
    payload         = try(each.value.payload, null)
  }

  # The platform's own defaults are 1 attempt and 10 seconds.
  function {
    id                 = yandex_function.this[each.key].id
    service_account_id = local.trigger_account
    retry_attempts     = try(each.value.retry_attempts, 1)
    retry_interval     = try(each.value.retry_interval, 10)
  }

  dlq {
    queue_id           = yandex_message_queue.dead_letters[0].arn
    service_account_id = local.trigger_account
  }

  depends_on = [
    yandex_function_iam_binding.invokers,
    yandex_resourcemanager_folder_iam_member.trigger_queue,
  ]
}
