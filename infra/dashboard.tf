# A dashboard over what the platform measures by itself. The provider has no resource for an alert: docs/operations.md says
# which to make and what each means.
#
# The names of metrics and labels are documented (Monitoring's metric reference: Cloud Functions, API Gateway, Message
# Queue, Cloud Logging); that a gateway is known there by its id, and a queue and a log group by theirs, was not tried.
locals {
  # Monitoring knows a function by its id.
  function_selector = "folderId=\"${var.folder_id}\", service=\"serverless-functions\", function=\"${join("|", values(local.function_ids))}\""

  charts = concat(
    [
      {
        title = "Calls a second"
        query = "series_sum(\"function\", \"serverless.functions.started_per_second\"{${local.function_selector}})"
      },
      {
        title = "Errors a second: calls that ended without an answer or with a thrown failure"
        query = "series_sum(\"function\", \"serverless.functions.errors_per_second\"{${local.function_selector}})"
      },
      {
        title = "Duration, milliseconds, 95 of 100 calls"
        query = "histogram_percentile(95, \"bin\", \"serverless.functions.execution_time_milliseconds\"{${local.function_selector}})"
      },
      {
        title = "Calls at once: the quota is 10 a zone for all functions of the cloud"
        query = "series_sum(\"serverless.functions.inflight\"{${local.function_selector}})"
      },
      {
        title = "Cold starts a second"
        query = "series_sum(\"function\", \"serverless.functions.initializations_per_second\"{${local.function_selector}})"
      },
    ],
    local.has_gateway ? [{
      title = "Answers of the gateway a second, by status"
      query = "series_sum(\"code\", \"api_gateway.requests_count_per_second\"{folderId=\"${var.folder_id}\", service=\"serverless-apigateway\", gateway=\"${yandex_api_gateway.this[0].id}\", release=\"stable\"})"
    }] : [],
    length(local.timers) > 0 ? [{
      title = "Dead letters: calls of timers that failed to the last attempt"
      query = "series_sum(\"queue.messages.stored_count\"{folderId=\"${var.folder_id}\", service=\"message-queue\", queue=\"${yandex_message_queue.dead_letters[0].name}\"})"
    }] : [],
  )
}

resource "yandex_monitoring_dashboard" "this" {
  name        = var.name
  title       = "unlink-functions: ${var.name}"
  description = "Calls, errors and durations of the functions"

  widgets {
    text {
      text = join("\n", [for name, id in local.function_ids : "${id}: ${name}"])
    }
    position {
      x = 0
      y = 0
      w = 36
      h = 4
    }
  }

  # Two in a row.
  dynamic "widgets" {
    for_each = { for index, chart in local.charts : tostring(index) => merge(chart, { id = "chart${index}", x = index % 2 * 18, y = 4 + floor(index / 2) * 8 }) }
    content {
      chart {
        chart_id       = widgets.value.id
        title          = widgets.value.title
        display_legend = true
        queries {
          target {
            query     = widgets.value.query
            text_mode = true
          }
        }
        visualization_settings {
          type = "VISUALIZATION_TYPE_LINE"
        }
      }
      position {
        x = widgets.value.x
        y = widgets.value.y
        w = 18
        h = 8
      }
    }
  }
}
