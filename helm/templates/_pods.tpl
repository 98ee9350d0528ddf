{{- /* What all pods share: the workers', the migrations' and the test's. */ -}}

{{- define "orchestrator.podBasics" -}}
automountServiceAccountToken: false
{{- /* Variables named WORKER_… for Services would be taken for settings. */}}
enableServiceLinks: false
{{- with .Values.image.pullSecrets }}
imagePullSecrets: {{- toYaml . | nindent 2 }}
{{- end }}
securityContext: {{- toYaml .Values.podSecurityContext | nindent 2 }}
{{- with .Values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with .Values.nodeSelector }}
nodeSelector: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.tolerations }}
tolerations: {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{- define "orchestrator.containerBasics" -}}
image: {{ include "orchestrator.image" . | quote }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
securityContext: {{- toYaml .Values.securityContext | nindent 2 }}
resources: {{- toYaml .Values.resources | nindent 2 }}
{{- end }}

{{- /* Of the list (the Secret's name, its key). */ -}}
{{- define "orchestrator.fromSecret" -}}
valueFrom: {secretKeyRef: {name: {{ index . 0 | quote }}, key: {{ index . 1 | quote }}}}
{{- end }}

{{- define "orchestrator.databaseTlsEnv" -}}
{{- with .Values.database.tls }}{{- if .secretName }}
- {name: PGSSLMODE, value: {{ .mode | quote }}}
{{- range $name, $key := dict "PGSSLROOTCERT" .caKey "PGSSLCERT" .certKey "PGSSLKEY" .keyKey }}{{- if $key }}
- {name: {{ $name }}, value: {{ printf "/etc/worker/database-tls/%s" $key | quote }}}
{{- end }}{{- end }}
{{- end }}{{- end }}
{{- end }}

{{- define "orchestrator.kafkaEnv" -}}
{{- with .Values.kafka }}
- {name: WORKER_KAFKA_BOOTSTRAP_SERVERS, value: {{ .bootstrapServers | quote }}}
- {name: WORKER_TOPIC_PREFIX, value: {{ .topicPrefix | quote }}}
- {name: WORKER_TOPIC_PARTITIONS, value: {{ include "orchestrator.text" .partitions | quote }}}
- {name: WORKER_CREATE_TOPICS, value: {{ .createTopics | quote }}}
- {name: WORKER_GROUP_ID, value: {{ .groupId | quote }}}
- {name: WORKER_KAFKA__SECURITY_PROTOCOL, value: {{ .securityProtocol | quote }}}
{{- with .tls }}{{- if .secretName }}
{{- range $name, $key := dict "CA" .caKey "CERTIFICATE" .certKey "KEY" .keyKey }}{{- if $key }}
- {name: WORKER_KAFKA__SSL_{{ $name }}_LOCATION, value: {{ printf "/etc/worker/kafka-tls/%s" $key | quote }}}
{{- end }}{{- end }}
{{- end }}{{- end }}
{{- with .sasl }}{{- if .mechanism }}
- {name: WORKER_KAFKA__SASL_MECHANISM, value: {{ .mechanism | quote }}}
- {name: WORKER_KAFKA__SASL_USERNAME, value: {{ .username | quote }}}
- name: WORKER_KAFKA__SASL_PASSWORD
  {{- include "orchestrator.fromSecret" (list .secretName .passwordKey) | nindent 2 }}
{{- end }}{{- end }}
{{- range $name, $value := .properties }}
- {name: WORKER_KAFKA__{{ $name | upper | replace "." "_" }}, value: {{ include "orchestrator.text" $value | quote }}}
{{- end }}
{{- end }}
{{- end }}

{{- define "orchestrator.workerEnv" -}}
- name: WORKER_DATABASE_URL
  {{- include "orchestrator.fromSecret" (list .Values.database.secretName .Values.database.urlKey) | nindent 2 }}
{{- include "orchestrator.databaseTlsEnv" . }}
{{- include "orchestrator.kafkaEnv" . }}
- {name: WORKER_MACHINES, value: {{ include "orchestrator.packages" . | quote }}}
{{- range $name, $value := .Values.settings }}
- {name: WORKER_{{ upper $name }}, value: {{ include "orchestrator.text" $value | quote }}}
{{- end }}
{{- with .Values.extraEnv }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "orchestrator.packages" -}}
{{- $packages := .Values.machines.packages -}}
{{- range include "orchestrator.mountedPackages" . | fromYamlArray }}{{ $packages = append $packages (printf "machines.%s" .package) }}{{ end -}}
{{ $packages | default (list "machines") | join "," }}
{{- end }}

{{- /* Packages that come from ConfigMaps: a list of {package, name}. */ -}}
{{- define "orchestrator.mountedPackages" -}}
{{- $mounted := .Values.machines.configMaps -}}
{{- range $package, $_ := .Values.machines.files }}
{{- $mounted = append $mounted (dict "package" $package "name" (include "orchestrator.machineName" (list $ $package))) }}
{{- end -}}
{{ toYaml $mounted }}
{{- end }}

{{- define "orchestrator.machineName" -}}
{{ printf "%s-machine-%s" (include "orchestrator.fullname" (index . 0)) (index . 1) | replace "_" "-" | trunc 63 | trimSuffix "-" }}
{{- end }}

{{- define "orchestrator.workerMounts" -}}
- {name: tmp, mountPath: /tmp}
{{- range include "orchestrator.mountedPackages" . | fromYamlArray }}
- {name: machine-{{ .package | replace "_" "-" }}, mountPath: /app/machines/{{ .package }}, readOnly: true}
{{- end }}
{{- if .Values.kafka.tls.secretName }}
- {name: kafka-tls, mountPath: /etc/worker/kafka-tls, readOnly: true}
{{- end }}
{{- include "orchestrator.databaseTlsMount" . }}
{{- end }}

{{- define "orchestrator.databaseTlsMount" -}}
{{- if .Values.database.tls.secretName }}
- {name: database-tls, mountPath: /etc/worker/database-tls, readOnly: true}
{{- end }}
{{- end }}

{{- define "orchestrator.workerVolumes" -}}
- {name: tmp, emptyDir: {sizeLimit: 64Mi}}
{{- range include "orchestrator.mountedPackages" . | fromYamlArray }}
- {name: machine-{{ .package | replace "_" "-" }}, configMap: {name: {{ .name | quote }}}}
{{- end }}
{{- with .Values.kafka.tls.secretName }}
- {name: kafka-tls, secret: {secretName: {{ . | quote }}, defaultMode: 0440}}
{{- end }}
{{- include "orchestrator.databaseTlsVolume" . }}
{{- end }}

{{- /* libpq refuses a key that others can read. */ -}}
{{- define "orchestrator.databaseTlsVolume" -}}
{{- with .Values.database.tls.secretName }}
- {name: database-tls, secret: {secretName: {{ . | quote }}, defaultMode: 0440}}
{{- end }}
{{- end }}
