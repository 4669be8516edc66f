// The collection of tasks, each its user's alone by PocketBase's own rules.

migrate((app) => {
  const settings = app.settings();
  // No log of requests, which nobody writes here.
  settings.logs.maxDays = 0;
  app.save(settings);

  // Without a superuser it would ask for one in a browser when it starts.
  const superuser = new Record(app.findCollectionByNameOrId("_superusers"));
  superuser.set("email", "bench@example.com");
  superuser.set("password", $security.randomString(30));
  app.save(superuser);

  const users = app.findCollectionByNameOrId("users");
  users.authToken.secret = $os.getenv("JWT_SECRET");
  app.save(users);

  const own = "user_id = @request.auth.id";
  // Ids keep their usual pattern: with another one, each create looks for its id in every row.
  app.save(
    new Collection({
      type: "base",
      name: "tasks",
      listRule: own,
      viewRule: own,
      createRule: own,
      updateRule: own,
      deleteRule: own,
      fields: [
        { name: "user_id", type: "relation", collectionId: users.id, maxSelect: 1, required: true, cascadeDelete: true },
        { name: "title", type: "text", required: true, max: 200 },
        { name: "description", type: "text", max: 5000 },
        { name: "completed", type: "bool" },
        { name: "created_at", type: "autodate", onCreate: true },
        { name: "updated_at", type: "autodate", onCreate: true, onUpdate: true },
      ],
      indexes: ["CREATE INDEX tasks_user_id_created_at ON tasks (user_id, created_at)"],
    }),
  );
});
