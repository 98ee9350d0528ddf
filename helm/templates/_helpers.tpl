{{- define "orchestrator.name" -}}
{{ .Values.nameOverride | default .Chart.Name | trunc 40 | trimSuffix "-" }}
{{- end }}

{{- /* Names leave room for what is put behind them. */ -}}
{{- define "orchestrator.fullname" -}}
{{- $name := include "orchestrator.name" . -}}
{{- $full := ternary .Release.Name (printf "%s-%s" .Release.Name $name) (contains $name .Release.Name) -}}
{{ .Values.fullnameOverride | default $full | trunc 40 | trimSuffix "-" }}
{{- end }}

{{- /* Of the list (the root, the component). */ -}}
{{- define "orchestrator.selector" -}}
app.kubernetes.io/name: {{ include "orchestrator.name" (index . 0) }}
app.kubernetes.io/instance: {{ (index . 0).Release.Name }}
app.kubernetes.io/component: {{ index . 1 }}
{{- end }}

{{- define "orchestrator.labels" -}}
{{- $root := index . 0 -}}
{{ include "orchestrator.selector" . }}
app.kubernetes.io/version: {{ $root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ $root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" $root.Chart.Name $root.Chart.Version | replace "+" "_" }}
{{- end }}

{{- define "orchestrator.image" -}}
{{- with .Values.image -}}
{{- if .digest -}}
{{ .repository }}@{{ .digest }}
{{- else -}}
{{ .repository }}:{{ .tag | default $.Chart.AppVersion }}
{{- end -}}
{{- end -}}
{{- end }}

{{- define "orchestrator.serviceAccount" -}}
{{ .Values.serviceAccount.name | default (ternary (include "orchestrator.fullname" .) "default" .Values.serviceAccount.create) }}
{{- end }}

{{- define "orchestrator.migrationsAccount" -}}
{{ ternary (printf "%s-migrate" (include "orchestrator.fullname" .)) (include "orchestrator.serviceAccount" .) .Values.serviceAccount.create }}
{{- end }}

{{- define "orchestrator.maxReplicas" -}}
{{- with .Values -}}
{{ ternary .replicas (.autoscaling.maxReplicas | default .kafka.partitions) (eq .autoscaling.kind "none") | int }}
{{- end -}}
{{- end }}

{{- /* A value as the text of a variable: large numbers are floats in Helm, and would be written as 1e+06. */ -}}
{{- define "orchestrator.text" -}}
{{- if and (kindIs "float64" .) (eq (floor .) .) }}{{ int64 . }}{{ else }}{{ . }}{{ end -}}
{{- end }}

{{- /* What the schema can't say of values together. */ -}}
{{- define "orchestrator.check" -}}
{{- $values := .Values -}}
{{- $partitions := int $values.kafka.partitions -}}
{{- $max := include "orchestrator.maxReplicas" . | int -}}
{{- $which := ternary "replicas" "autoscaling.maxReplicas" (eq $values.autoscaling.kind "none") -}}
{{- if gt $max $partitions -}}
{{- fail (printf "%s is %d and kafka.partitions %d: a worker without a partition is never ready, and a roll-out would wait for it in vain. Lower the one, or add partitions to the topic %s.input and raise the other" $which $max $partitions $values.kafka.topicPrefix) -}}
{{- end -}}
{{- if ne $values.autoscaling.kind "none" -}}
{{- if gt (int $values.autoscaling.minReplicas) $max -}}
{{- fail (printf "autoscaling.minReplicas is %d, and %d workers are the most: lower it" (int $values.autoscaling.minReplicas) $max) -}}
{{- end -}}
{{- end -}}
{{- if and (eq $values.autoscaling.kind "hpa") (eq (int $values.autoscaling.minReplicas) 0) -}}
{{- fail "autoscaling.minReplicas is 0, which a HorizontalPodAutoscaler can't do: use autoscaling.kind=keda, or set it to 1" -}}
{{- end -}}
{{- if and (hasPrefix "SASL" $values.kafka.securityProtocol) (not $values.kafka.sasl.mechanism) (not (hasKey $values.kafka.properties "sasl.mechanism")) -}}
{{- fail (printf "kafka.securityProtocol is %s: set kafka.sasl.mechanism, with kafka.sasl.username and kafka.sasl.secretName" $values.kafka.securityProtocol) -}}
{{- end -}}
{{- if and $values.kafka.sasl.mechanism (not (hasPrefix "SASL" $values.kafka.securityProtocol)) -}}
{{- fail (printf "kafka.sasl.mechanism is set and kafka.securityProtocol is %s: set that to SASL_SSL or SASL_PLAINTEXT" $values.kafka.securityProtocol) -}}
{{- end -}}
{{- if and $values.kafka.tls.secretName (not (hasSuffix "SSL" $values.kafka.securityProtocol)) -}}
{{- fail (printf "kafka.tls.secretName is set and kafka.securityProtocol is %s: set that to SSL or SASL_SSL" $values.kafka.securityProtocol) -}}
{{- end -}}
{{- range $at, $tls := dict "kafka.tls" $values.kafka.tls "database.tls" $values.database.tls -}}
{{- if ne (empty $tls.certKey) (empty $tls.keyKey) -}}
{{- fail (printf "%s: certKey and keyKey are set together or not at all" $at) -}}
{{- end -}}
{{- end -}}
{{- range $values.machines.configMaps -}}
{{- if hasKey $values.machines.files .package -}}
{{- fail (printf "the package %s is in machines.configMaps and in machines.files: leave one out" .package) -}}
{{- end -}}
{{- end -}}
{{- end }}
