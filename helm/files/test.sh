# Start a workflow, and wait for its end; when that takes longer than the pod may, the pod is ended.
# A network may not let a new pod out at once, so what can't reach its server is tried again.
if [ -n "$TEST_SERVICES" ]; then
  until worker serve "$TEST_SERVICES"; do sleep 1; done &
fi
tries=5
until sent=$(worker produce "$TEST_TYPE" --data "$TEST_DATA"); do
  tries=$((tries - 1))
  [ "$tries" -gt 0 ]
  sleep 2
done
echo "sent $sent"
subject=$(echo "$sent" | cut -d' ' -f2)
status=unseen
until [ "$status" = done ]; do
  sleep 1
  shown=$(worker instances show "$subject" --limit 1 --json) || continue
  status=$(echo "$shown" | python3 -c 'import json, sys; print(json.load(sys.stdin)["status"])')
  echo "it is $status"
  [ "$status" != cancelled ]
done
