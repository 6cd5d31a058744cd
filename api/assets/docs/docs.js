// Shows the description of the API with Swagger UI. Nothing is asked of another machine: the badge
// of the online validator is off, and examples are sent to this process only.
"use strict";

window.ui = window.SwaggerUIBundle({
  url: "/openapi.json",
  dom_id: "#docs",
  validatorUrl: null,
  deepLinking: true,
  displayRequestDuration: true,
  defaultModelsExpandDepth: 0,
  tryItOutEnabled: true,
});
