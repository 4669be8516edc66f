// The one operation that PocketBase's own API does not have: the server toggles what it has.

routerAdd(
  "PATCH",
  "/api/v1/tasks/{id}/complete",
  (e) => {
    const task = $app.findRecordById("tasks", e.request.pathValue("id"));
    // As PocketBase's rules do it: what is not yours is not there.
    if (task.getString("user_id") !== e.auth.id) throw new NotFoundError();
    task.set("completed", !task.getBool("completed"));
    $app.save(task);
    return e.json(200, task);
  },
  $apis.requireAuth("users"),
);
